//! The page of all keys is what the schema says.

use std::path::Path;

#[test]
fn the_page_of_all_keys_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/configuration.md");
    let wanted = hsu_config::reference();
    if std::env::var_os("HSU_WRITE_PAGES").is_some() {
        std::fs::write(&path, &wanted).unwrap();
    }
    let page = std::fs::read_to_string(&path).unwrap();
    assert!(page == wanted, "run this test with HSU_WRITE_PAGES=1 to write the page anew");
}

/// Every YAML file of the guide to discovery is one that a master would run.
#[test]
fn the_files_of_the_guide_to_discovery_load_without_a_word() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guide/discovery.md");
    let text = std::fs::read_to_string(page).unwrap();
    let files: Vec<&str> = text
        .split("```yaml\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap_or_default())
        .collect();
    assert!(files.len() >= 8, "{}", files.len());
    for file in files {
        let source = hsu_config::Source { name: "page".to_owned(), text: file.as_bytes().to_vec() };
        let options = hsu_config::LoadOptions::default();
        let surroundings = hsu_config::Surroundings::of_this_process();
        let outcome = hsu_config::load(&source, &surroundings, &options);
        let said = outcome.diagnostics.render(&source, false);
        assert!(outcome.fleet.is_some() && outcome.diagnostics.warnings().count() == 0, "{said}");
    }
}
