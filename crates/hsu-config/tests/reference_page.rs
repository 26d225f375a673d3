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
