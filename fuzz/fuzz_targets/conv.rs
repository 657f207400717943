#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| alrc_fuzz::conv::check(bytes));
