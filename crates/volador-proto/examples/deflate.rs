//! Prints what compressing WebSocket messages saves and costs, as it stands in docs/push.md.
//!
//!     cargo run --release -p volador-proto --example deflate

use std::{hint::black_box, time::Instant};

use volador_proto::{
    link::Payload,
    ws::{
        Decoder, Limits,
        deflate::{Deflater, Inflater, WindowBits},
    },
};

const LEVELS: [u8; 4] = [1, 2, 6, 9];

fn main() {
    println!("percent of the length, and microseconds per message; by level, then to decode what level 6 made");
    for len in [64, 128, 256, 512, 1024, 4096, 16_384, 65_536] {
        // Several, so that the branch predictor does not learn one by heart.
        let messages: Vec<_> = (0..64).map(|n| json(n, len)).collect();
        let rounds = 8_000_000 / (len + 2000);
        print!("{len:>6} bytes");
        for level in LEVELS {
            let mut deflater = Deflater::new(level, WindowBits::MAX).expect("15 bits can be compressed for");
            let (mut plain, mut sent) = (0, 0);
            let start = Instant::now();
            for message in messages.iter().cycle().take(rounds) {
                plain += message.len();
                sent += deflater.message(Payload::Text, message).map_or(message.len(), |frame| frame.len());
            }
            print!("  {level}: {:>3}% {:>6.1} us", 100 * sent / plain, micros(start, rounds));
        }
        println!("  decode: {:>5.1} us", decode(&messages[0], rounds));
    }
}

/// Time to decode one compressed message.
fn decode(message: &[u8], rounds: usize) -> f64 {
    let mut deflater = Deflater::new(6, WindowBits::MAX).expect("15 bits can be compressed for");
    let Some(frame) = deflater.message(Payload::Text, message) else { return 0.0 };
    // The client's form of it, under a mask of zeros.
    let head = if frame[1] == 126 { 4 } else { 2 };
    let client = [&frame[..1], &[frame[1] | 0x80], &frame[2..head], &[0; 4], &frame[head..]].concat();
    let (mut decoder, mut inflater) = (Decoder::new(), Inflater::new());
    let limits = Limits { message_max_bytes: 1 << 20 };
    let start = Instant::now();
    for _ in 0..rounds {
        let result = decoder.decode(&mut client.clone(), &limits, Some(&mut inflater), |event| {
            black_box(event);
            true
        });
        result.expect("it is a valid message");
    }
    micros(start, rounds)
}

fn micros(start: Instant, rounds: usize) -> f64 {
    start.elapsed().as_secs_f64() * 1e6 / rounds as f64
}

/// Objects as an application sends them, no two alike, cut to the length.
fn json(seed: u64, len: usize) -> Vec<u8> {
    let mut text = String::from(r#"{"type":"update","channel":"room:42","items":["#);
    let mut state = seed;
    while text.len() < len {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let says = ["hello world", "see you tomorrow", "on my way", "flying fish"][(state >> 62) as usize];
        text += &format!(
            r#"{{"id":{},"user":"user-{}","price":{}.{:02},"active":{},"text":"{says}"}},"#,
            state >> 40,
            (state >> 20) % 1000,
            (state >> 33) % 500,
            (state >> 50) % 100,
            state >> 63 == 1,
        );
    }
    text.truncate(len);
    text.into_bytes()
}
