//! Tests of the readers of mounts and cgroups.

use proptest::prelude::*;

use super::*;

const HYBRID_MOUNTS: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
36 31 0:33 / /sys/fs/cgroup/freezer rw,relatime shared:12 - cgroup cgroup rw,freezer
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:13 master:2 - cgroup2 cgroup2 rw
";
const HYBRID_OWN: &str = "6:freezer:/\n4:memory:/some/where\n0::/user.slice/one\n";

fn path(text: &str) -> Option<PathBuf> {
    Some(PathBuf::from(text))
}

#[test]
fn the_folders_of_a_hybrid_host_are_found() {
    let wanted = Hierarchies {
        layout: Layout::Hybrid,
        unified: path("/sys/fs/cgroup/unified/user.slice/one"),
        freezer: path("/sys/fs/cgroup/freezer"),
    };
    assert_eq!(Hierarchies::parse(HYBRID_MOUNTS, HYBRID_OWN), wanted);
}

#[test]
fn a_unified_host_has_one_folder_and_no_freezer() {
    let mounts = "29 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate";
    let found = Hierarchies::parse(mounts, "0::/system.slice/hsu.service\n");
    let wanted = Hierarchies {
        layout: Layout::Unified,
        unified: path("/sys/fs/cgroup/system.slice/hsu.service"),
        freezer: None,
    };
    assert_eq!(found, wanted);
}

#[test]
fn a_freezer_that_shares_its_hierarchy_is_found_on_a_legacy_host() {
    let mounts = "33 31 0:30 / /cg/net_cls,freezer rw - cgroup cgroup rw,net_cls,freezer";
    let found = Hierarchies::parse(mounts, "3:net_cls,freezer:/a:b\n");
    assert_eq!(found.layout, Layout::Legacy);
    assert_eq!(found.freezer, path("/cg/net_cls,freezer/a:b"));
    assert_eq!(found.unified, None);
}

#[test]
fn in_a_container_the_path_counts_from_the_part_that_is_mounted() {
    let mounts = "33 31 0:30 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup rw";
    let inside = Hierarchies::parse(mounts, "0::/docker/abc/child\n");
    assert_eq!(inside.unified, path("/sys/fs/cgroup/child"));
    for outside in ["0::/docker/other\n", "0::/\n", "0::/docker/abc/../../x\n"] {
        assert_eq!(Hierarchies::parse(mounts, outside).unified, None, "{outside}");
    }
}

#[test]
fn a_mount_point_with_a_space_and_a_backslash_is_read_as_it_is() {
    let mounts = r"33 31 0:30 / /mnt/my\040groups\134x rw - cgroup2 cgroup2 rw";
    assert_eq!(Hierarchies::parse(mounts, "0::/\n").unified, path("/mnt/my groups\\x"));
}

#[test]
fn a_host_without_cgroups_has_none() {
    for mounts in ["", "garbage\n - \n1 2 - cgroup2", "\n\n"] {
        let found = Hierarchies::parse(mounts, "0::/\n");
        assert_eq!((found.layout, found.unified), (Layout::Absent, None), "{mounts:?}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_readers_panic(mounts in ".*", own in ".*") {
        Hierarchies::parse(&mounts, &own);
    }

    #[test]
    fn no_damaged_line_makes_the_readers_panic(cut in 0_usize..400, own in "0::/[a\\./:]*") {
        let mounts: String = HYBRID_MOUNTS.chars().skip(cut).collect();
        Hierarchies::parse(&mounts, &own);
    }

    #[test]
    fn no_folder_leads_out_of_its_mount(own in "0::[a\\./]*") {
        let found = Hierarchies::parse(HYBRID_MOUNTS, &own);
        if let Some(folder) = found.unified {
            prop_assert!(folder.components().all(|part| part != Component::ParentDir));
            prop_assert!(folder.starts_with("/sys/fs/cgroup/unified"));
        }
    }
}
