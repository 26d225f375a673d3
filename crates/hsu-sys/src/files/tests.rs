//! Tests of PID files.

use super::*;

#[test]
fn only_one_decimal_number_greater_than_one_is_a_pid() {
    for bad in [
        "",
        " ",
        "0",
        "1",
        "-1",
        "abc",
        "12 34",
        "99999999999999999999",
        "0x10",
        "12\0",
        "12\r\n",
        "\n12",
        "12\n\n",
        "+12",
    ] {
        assert_eq!(parse_pid(bad.as_bytes()), None, "{bad:?}");
    }
    assert_eq!(parse_pid(b"12"), Some(12));
    assert_eq!(parse_pid(b"12\n"), Some(12));
}

#[test]
fn a_written_pid_file_is_read_back_and_replaced_as_a_whole() {
    let folder = std::env::temp_dir().join(format!("hsu-pid-file-{}", std::process::id()));
    let path = folder.join("web.pid");
    write_pid_file(&path, 41).unwrap();
    write_pid_file(&path, 42).unwrap();
    assert_eq!(read_pid_file(&path).unwrap(), 42);
    remove_pid_file(&path).unwrap();
    remove_pid_file(&path).unwrap();
    assert!(matches!(read_pid_file(&path), Err(PidFileError::Io(_))));
    assert!(matches!(read_pid_file(&folder), Err(PidFileError::NotAFile)));
    fs::remove_dir_all(&folder).unwrap();
}
