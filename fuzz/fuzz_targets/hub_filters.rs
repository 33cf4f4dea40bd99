#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| volador_fuzz::hub_filters::check(data));
