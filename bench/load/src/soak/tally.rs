//! What a soak has found.

use std::time::Duration;

/// How a request has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Answered with 200.
    Answered,
    /// Answered with 502, or cut: its worker was lost.
    Lost,
    /// Answered with anything else.
    Failed,
}

/// Counts, since the start but where a field says otherwise.
#[derive(Default)]
pub struct Tally {
    /// Push connections that the server has closed.
    pub dropped: u64,
    /// Publications that have arrived, at all connections together.
    pub deliveries: u64,
    /// Those among them that came again, or behind a later one.
    pub disordered: u64,
    /// By publication: connections that have got a later one instead.
    pub passed: Vec<u32>,
    /// By publication, as its request has ended.
    pub published: Vec<End>,
    /// Messages that were sent.
    pub messages: u64,
    /// Answers to them.
    pub answers: u64,
    /// Answers that had come already, or to what was never sent.
    pub doubled: u64,
    /// Answers of handlers that have lost count of what they had kept.
    pub forgotten: u64,
    /// Requests that were answered, were lost, and have failed otherwise; publications are among them.
    pub requests: [u64; 3],
    /// Microseconds from when a request was due to its answer, since the last mark; without publications.
    latencies: Vec<u32>,
}

impl Tally {
    /// A connection does not get these publications any more.
    pub fn passed_over(&mut self, publications: impl Iterator<Item = u32>) {
        for publication in publications {
            let at = publication as usize;
            if self.passed.len() <= at {
                self.passed.resize(at + 1, 0);
            }
            self.passed[at] += 1;
        }
    }

    /// A request has ended.
    pub fn request(&mut self, end: End, after: Option<Duration>) {
        self.requests[end as usize] += 1;
        self.latencies.extend(after.map(|after| after.as_micros().min(u32::MAX.into()) as u32));
    }

    /// Publications that were answered and have not reached everybody, one for each of those; and publications whose
    /// request was lost that have reached some and not others of the connections in their room. `rooms` has how many those
    /// are.
    pub fn missing(&self, rooms: &[u32]) -> (u64, u64) {
        let (mut missing, mut partial) = (0, 0);
        for (end, publication) in self.published.iter().zip(1..) {
            let passed = self.passed.get(publication).copied().unwrap_or(0);
            let connections = rooms[publication % rooms.len()];
            match end {
                End::Answered => missing += u64::from(passed),
                _ => partial += u64::from(passed > 0 && passed < connections),
            }
        }
        (missing, partial)
    }

    /// The requests since the last mark, as a line of JSON.
    pub fn mark(&mut self) -> String {
        let mut latencies = std::mem::take(&mut self.latencies);
        latencies.sort_unstable();
        let percentile = |percent: usize| {
            let rank = (latencies.len() * percent).div_ceil(100);
            latencies.get(rank.saturating_sub(1)).copied().unwrap_or(0)
        };
        let (p50, p99, max) = (percentile(50), percentile(99), percentile(100));
        format!("{{\"requests\":{},\"p50\":{p50},\"p99\":{p99},\"max\":{max}}}", latencies.len())
    }

    /// All counts, as a line of JSON. So many connections are left in each room.
    pub fn json(&self, rooms: &[u32]) -> String {
        let (missing, partial) = self.missing(rooms);
        let connections = rooms.iter().sum::<u32>();
        let [answered, lost, failed] = self.requests;
        let Tally { dropped, deliveries, disordered, messages, answers, doubled, forgotten, .. } = self;
        let (publications, unanswered) = (self.published.len(), messages - answers);
        format!(
            "{{\"connections\":{connections},\"dropped\":{dropped},\"publications\":{publications},\
             \"deliveries\":{deliveries},\"missing\":{missing},\"partial\":{partial},\"disordered\":{disordered},\
             \"messages\":{messages},\"unanswered\":{unanswered},\"doubled\":{doubled},\"forgotten\":{forgotten},\
             \"answered\":{answered},\"lost\":{lost},\"failed\":{failed}}}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_publication_that_was_lost_reaches_all_or_none() {
        let mut tally = Tally { published: vec![End::Answered, End::Lost, End::Lost, End::Lost], ..Tally::default() };
        tally.passed_over(2..4);
        tally.passed_over(1..3);
        assert_eq!(tally.missing(&[2]), (1, 1));
    }

    #[test]
    fn a_publication_is_for_its_room() {
        let mut tally = Tally { published: vec![End::Lost; 4], ..Tally::default() };
        tally.passed_over([1, 2, 2, 4].into_iter());
        // Of the third nobody has missed anything, of the others one connection, two and one.
        assert_eq!(tally.missing(&[2, 1]), (0, 1));
        assert_eq!(tally.missing(&[3, 3]), (0, 3));
    }

    #[test]
    fn a_mark_begins_anew() {
        let mut tally = Tally::default();
        (1..=200).for_each(|micros| tally.request(End::Answered, Some(Duration::from_micros(micros))));
        assert_eq!(tally.mark(), r#"{"requests":200,"p50":100,"p99":198,"max":200}"#);
        assert_eq!(tally.mark(), r#"{"requests":0,"p50":0,"p99":0,"max":0}"#);
        assert_eq!(tally.requests, [200, 0, 0]);
    }
}
