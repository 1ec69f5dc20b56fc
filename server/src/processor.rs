//! Whether this processor can run this program.
//!
//! The build is for x86-64-v3 (see `.cargo/config.toml`); on an older processor it would die of an illegal instruction
//! somewhere in the middle, so the start says it instead.

/// The instruction sets that the build uses and this processor lacks.
pub fn missing() -> Vec<&'static str> {
    #[cfg(all(target_arch = "x86_64", target_feature = "avx2"))]
    {
        use raw_cpuid::CpuId;
        let cpuid = CpuId::new();
        let features = cpuid.get_feature_info();
        let extended = cpuid.get_extended_feature_info();
        let identifiers = cpuid.get_extended_processor_and_feature_identifiers();
        let has = |found: Option<bool>| found.unwrap_or(false);
        let wanted = [
            ("avx", has(features.as_ref().map(|f| f.has_avx()))),
            ("fma", has(features.as_ref().map(|f| f.has_fma()))),
            ("f16c", has(features.as_ref().map(|f| f.has_f16c()))),
            ("movbe", has(features.as_ref().map(|f| f.has_movbe()))),
            ("osxsave", has(features.as_ref().map(|f| f.has_oxsave()))),
            ("avx2", has(extended.as_ref().map(|f| f.has_avx2()))),
            ("bmi1", has(extended.as_ref().map(|f| f.has_bmi1()))),
            ("bmi2", has(extended.as_ref().map(|f| f.has_bmi2()))),
            ("lzcnt", has(identifiers.as_ref().map(|f| f.has_lzcnt()))),
        ];
        wanted.into_iter().filter(|(_, present)| !present).map(|(name, _)| name).collect()
    }
    #[cfg(not(all(target_arch = "x86_64", target_feature = "avx2")))]
    Vec::new()
}
