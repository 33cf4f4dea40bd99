#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| volador_fuzz::ws_extensions::check(data));
