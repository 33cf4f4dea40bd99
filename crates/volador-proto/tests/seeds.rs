//! Runs the fuzz targets' checks on their seeds, whole and cut short, so that a plain `cargo test` exercises them.
#![allow(unreachable_pub, reason = "the checks are public for the fuzz targets")]

use std::path::Path;

#[path = "../../../fuzz/src/http1_head_watch.rs"]
mod http1_head_watch;
#[path = "../../../fuzz/src/link_frames.rs"]
mod link_frames;
#[path = "../../../fuzz/src/sse_event.rs"]
mod sse_event;
#[path = "../../../fuzz/src/ws_decoder.rs"]
mod ws_decoder;
#[path = "../../../fuzz/src/ws_extensions.rs"]
mod ws_extensions;

fn run(target: &str, check: impl Fn(&[u8])) {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds").join(target);
    let mut count = 0;
    for seed in seeds.read_dir().expect("each target has a folder of seeds") {
        let path = seed.expect("the folder is readable").path();
        println!("{}", path.display());
        let bytes = std::fs::read(&path).expect("a seed is readable");
        for len in 0..=bytes.len() {
            check(&bytes[..len]);
        }
        count += 1;
    }
    assert!(count > 0, "{} is empty", seeds.display());
}

#[test]
fn ws_decoder_holds_for_its_seeds() {
    run("ws_decoder", ws_decoder::check);
}

#[test]
fn ws_extensions_hold_for_their_seeds() {
    run("ws_extensions", ws_extensions::check);
}

#[test]
fn http1_head_watch_holds_for_its_seeds() {
    run("http1_head_watch", http1_head_watch::check);
}

#[test]
fn sse_event_holds_for_its_seeds() {
    run("sse_event", sse_event::check);
}

#[test]
fn link_frames_hold_for_their_seeds() {
    run("link_frames", link_frames::check);
}
