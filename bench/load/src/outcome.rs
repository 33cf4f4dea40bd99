//! What one run found.

use std::time::Duration;

/// Counts and latencies of one run.
#[derive(Default)]
pub struct Outcome {
    /// Messages that arrived.
    pub messages: u64,
    /// Messages that were due and had not arrived at the deadline.
    pub missing: u64,
    /// Microseconds from the request or the message to each arrival.
    pub latencies: Vec<u32>,
}

impl Outcome {
    /// Counts one arrival.
    pub fn arrived(&mut self, after: Duration) {
        self.messages += 1;
        self.latencies.push(after.as_micros().min(u32::MAX.into()) as u32);
    }

    /// One line of JSON, about a run of which some time was waited.
    pub fn json(mut self, run: Duration, waited: Duration) -> String {
        self.latencies.sort_unstable();
        let (p50, p99) = (self.percentile(50), self.percentile(99));
        let (messages, missing, seconds) = (self.messages, self.missing, run.as_secs_f64());
        let busy = 1.0 - waited.as_secs_f64() / seconds;
        format!(
            "{{\"messages\":{messages},\"seconds\":{seconds:.6},\"missing\":{missing},\"p50\":{p50},\"p99\":{p99},\
             \"busy\":{busy:.4}}}"
        )
    }

    fn percentile(&self, percent: usize) -> u32 {
        let rank = (self.latencies.len() * percent).div_ceil(100);
        self.latencies.get(rank.saturating_sub(1)).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let mut outcome = Outcome::default();
        (1..=200).rev().for_each(|micros| outcome.arrived(Duration::from_micros(micros)));
        assert_eq!(
            outcome.json(Duration::from_secs(2), Duration::from_millis(500)),
            r#"{"messages":200,"seconds":2.000000,"missing":0,"p50":100,"p99":198,"busy":0.7500}"#
        );
    }

    #[test]
    fn an_empty_run_has_an_outcome() {
        assert!(Outcome::default().json(Duration::from_secs(1), Duration::ZERO).contains(r#""p99":0"#));
    }
}
