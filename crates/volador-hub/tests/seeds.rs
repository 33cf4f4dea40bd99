//! Runs the fuzz target's check on its seeds, whole and cut short, so that a plain `cargo test` exercises it.
#![allow(unreachable_pub, reason = "the check is public for the fuzz target")]

use std::path::Path;

#[path = "../../../fuzz/src/hub_filters.rs"]
mod hub_filters;

#[test]
fn hub_filters_hold_for_their_seeds() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/hub_filters");
    let mut count = 0;
    for seed in seeds.read_dir().expect("the target has a folder of seeds") {
        let path = seed.expect("the folder is readable").path();
        println!("{}", path.display());
        let bytes = std::fs::read(&path).expect("a seed is readable");
        for len in 0..=bytes.len() {
            hub_filters::check(&bytes[..len]);
        }
        count += 1;
    }
    assert!(count > 0, "{} is empty", seeds.display());
}
