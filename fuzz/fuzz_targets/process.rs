#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ganeti_hv_kvm_fuzz::process(data));
