//! Kernel modules that are loaded or built in.

use std::path::Path;

/// Returns whether the kernel has all of these modules, loaded or built in. `false` does not mean that it lacks one: a
/// module may be loaded when it is needed, and the file that lists what is built in may be missing. As `lsmod`, and
/// `modinfo` for what is built in.
pub fn are_available(names: &[&str]) -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    are_available_in(Path::new("/sys/module"), &Path::new("/lib/modules").join(release.trim()), names)
}

/// `loaded` has a folder for each module that is loaded; of those that are built in, only for some.
fn are_available_in(loaded: &Path, release: &Path, names: &[&str]) -> bool {
    // A module that is being loaded or removed is not `live`.
    let is_live = |name: &&str| {
        std::fs::read_to_string(loaded.join(name).join("initstate")).is_ok_and(|state| state.trim() == "live")
    };
    let missing: Vec<_> = names.iter().filter(|name| !is_live(name)).collect();
    if missing.is_empty() {
        return true;
    }
    // Lines such as `kernel/net/sched/sch_tbf.ko`.
    let built_in = std::fs::read_to_string(release.join("modules.builtin")).unwrap_or_default();
    missing.into_iter().all(|name| {
        built_in.lines().any(|line| Path::new(line).file_stem().is_some_and(|stem| stem == *name))
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn only_modules_that_are_live_or_built_in_count() {
        let folder = tempfile::tempdir().unwrap();
        let (loaded, release) = (folder.path().join("module"), folder.path().join("6.1.0"));
        for (name, state) in [("ifb", "live\n"), ("act_mirred", "live\n"), ("sch_tbf", "coming\n")] {
            fs::create_dir_all(loaded.join(name)).unwrap();
            fs::write(loaded.join(name).join("initstate"), state).unwrap();
        }
        let are_available = |names: &[&str]| are_available_in(&loaded, &release, names);
        assert!(are_available(&["ifb", "act_mirred"]));
        for other in ["sch_tbf", "cls_u32"] {
            assert!(!are_available(&["ifb", other]), "{other}");
        }
        fs::create_dir(&release).unwrap();
        let built_in = "kernel/net/sched/sch_tbf.ko\nkernel/net/sched/cls_u32.ko\n";
        fs::write(release.join("modules.builtin"), built_in).unwrap();
        assert!(are_available(&["ifb", "sch_tbf", "cls_u32"]));
        assert!(!are_available(&["tbf"]) && !are_available(&["sch_tbf.ko"]));
    }
}
