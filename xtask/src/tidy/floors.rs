//! Floors: a crate imports from strictly lower floors only.
//!
//! Dev-dependencies are exempt: a test may stand anywhere. A workbench crate may
//! import anything, and nothing of the product may import it.

use std::collections::BTreeMap;

use super::Finding;
use crate::workspace::{Floor, Package};

pub(super) fn check(packages: &[Package]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut floors = BTreeMap::new();
    for package in packages {
        let path = package.folder.join("Cargo.toml");
        match package.floor() {
            Ok(floor) => drop(floors.insert(package.name.as_str(), floor)),
            Err(what) => findings.push(Finding::new(&path, 0, what)),
        }
        if !follows_lints(package) {
            findings.push(Finding::new(&path, 0, "`lints.workspace = true` is missing"));
        }
    }
    for package in packages {
        let Some(Floor::Number(own)) = floors.get(package.name.as_str()) else {
            continue;
        };
        for name in package.dependencies() {
            let what = match floors.get(name.as_str()) {
                Some(Floor::Number(other)) if other >= own => {
                    format!("floor {own} imports {name} from floor {other}")
                }
                Some(Floor::Workbench) => format!("the product imports {name} of the workbench"),
                Some(Floor::Number(_)) | None => continue,
            };
            findings.push(Finding::new(&package.folder.join("Cargo.toml"), 0, what));
        }
    }
    findings
}

fn follows_lints(package: &Package) -> bool {
    let lints = package.manifest.get("lints");
    lints.and_then(|lints| lints.get("workspace")?.as_bool()) == Some(true)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn package(name: &str, floor: &str, rest: &str) -> Package {
        let text = format!(
            "[package]\nname = \"{name}\"\n[package.metadata.hsu]\nfloor = {floor}\n\
             [lints]\nworkspace = true\n{rest}"
        );
        Package::parse(Path::new(name), &text).unwrap()
    }

    fn findings(packages: &[Package]) -> Vec<String> {
        check(packages).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_lower_floor_may_be_imported() {
        let low = package("low", "0", "");
        let high = package("high", "1", "[dependencies]\nlow.workspace = true\nserde = \"1\"\n");
        assert_eq!(findings(&[low, high]), [""; 0]);
    }

    #[test]
    fn the_same_or_a_higher_floor_may_not() {
        for section in [
            "[dependencies]\nother = {}\n",
            "[build-dependencies]\nother = {}\n",
            "[target.'cfg(unix)'.dependencies]\nother = {}\n",
            "[dependencies]\nfriend = { package = \"other\" }\n",
        ] {
            for floor in ["1", "2"] {
                let other = package("other", floor, "");
                let found = findings(&[package("mine", "1", section), other]);
                let expected = format!("mine/Cargo.toml: floor 1 imports other from floor {floor}");
                assert_eq!(found, [expected], "{section}");
            }
        }
    }

    #[test]
    fn a_test_may_import_anything() {
        let mine = package("mine", "1", "[dev-dependencies]\nother = {}\nbench = {}\n");
        let all = [mine, package("other", "2", ""), package("bench", "\"workbench\"", "")];
        assert_eq!(findings(&all), [""; 0]);
    }

    #[test]
    fn the_product_may_not_import_the_workbench() {
        let bench = package("bench", "\"workbench\"", "");
        let mine = package("mine", "6", "[dependencies]\nbench = {}\n");
        assert_eq!(
            findings(&[bench, mine]),
            ["mine/Cargo.toml: the product imports bench of the workbench"]
        );
    }

    #[test]
    fn a_crate_without_a_floor_or_without_the_lints_is_found() {
        let text = "[package]\nname = \"mine\"\n";
        let mine = Package::parse(Path::new("mine"), text).unwrap();
        assert_eq!(findings(&[mine]).len(), 2);
        assert_eq!(findings(&[package("mine", "\"cellar\"", "")]).len(), 1);
    }
}
