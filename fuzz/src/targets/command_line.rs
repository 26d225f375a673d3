//! The command line of the client: any words, one clean answer.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use clap::Parser as _;

use crate::arguments::Arguments;
use crate::bytes::Bytes;
use crate::screen::complaint;

pub(crate) fn run(input: &[u8]) {
    let mut bytes = Bytes::new(input);
    let mut words = vec![OsString::from("hsu-master-cli")];
    while !bytes.is_empty() {
        words.push(OsString::from_vec(bytes.until_zero().to_vec()));
    }
    match Arguments::try_parse_from(words.clone()) {
        Ok(arguments) => assert!(!format!("{arguments:?}").is_empty()),
        Err(error) => {
            assert!(matches!(error.exit_code(), 0 | 2), "{error:?}");
            let said = complaint(&error.to_string(), words.into_iter().skip(1));
            let steers = |c: char| c.is_control() && c != '\n' && c != '\t';
            assert!(!said.contains(steers), "{said:?}");
        }
    }
}
