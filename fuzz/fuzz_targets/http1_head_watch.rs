#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| volador_fuzz::http1_head_watch::check(data));
