#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| onrecord::fuzz::framing(input));
