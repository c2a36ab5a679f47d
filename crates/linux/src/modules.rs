//! Loaded kernel modules.

use std::path::Path;

/// A directory for each loaded module; built-in parts have one only sometimes.
const LOADED: &str = "/sys/module";

/// Returns whether all of these modules are loaded, so that no probe is necessary. `false` says nothing. As `lsmod`.
pub fn are_loaded(names: &[&str]) -> bool {
    are_in(Path::new(LOADED), names)
}

fn are_in(folder: &Path, names: &[&str]) -> bool {
    // A module that is being loaded or removed is not `live`.
    let is_live = |name: &&str| {
        std::fs::read_to_string(folder.join(name).join("initstate")).is_ok_and(|state| state.trim() == "live")
    };
    names.iter().all(is_live)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn only_modules_that_are_live_count() {
        let folder = tempfile::tempdir().unwrap();
        for (name, state) in [("ifb", "live\n"), ("act_mirred", "live\n"), ("sch_tbf", "coming\n")] {
            fs::create_dir(folder.path().join(name)).unwrap();
            fs::write(folder.path().join(name).join("initstate"), state).unwrap();
        }
        assert!(are_in(folder.path(), &["ifb", "act_mirred"]));
        for other in ["sch_tbf", "cls_u32"] {
            assert!(!are_in(folder.path(), &["ifb", other]), "{other}");
        }
    }
}
