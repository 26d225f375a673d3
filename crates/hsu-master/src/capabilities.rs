//! `hsu-master capabilities`: what this host can do, and what is not built yet.

use std::io::{Write as _, stdout};

use crate::arguments::Output;
use crate::exit::Exit;

/// Prints both lists.
pub(crate) fn capabilities(output: Output) -> anyhow::Result<Exit> {
    let mut out = stdout().lock();
    let host = hsu_sys::capabilities();
    match output {
        Output::Json => {
            let host: Vec<_> = host
                .iter()
                .map(|c| serde_json::json!({"name": c.name, "available": c.available, "detail": c.detail}))
                .collect();
            let features: Vec<_> = hsu_config::features()
                .iter()
                .map(|f| serde_json::json!({"key": f.key, "what": f.why}))
                .collect();
            let all = serde_json::json!({"host": host, "not_built": features});
            serde_json::to_writer_pretty(&mut out, &all)?;
            writeln!(out)?;
        }
        Output::Text => {
            writeln!(out, "This host:")?;
            for capability in host {
                let mark = if capability.available { "yes" } else { "no " };
                writeln!(out, "  {mark}  {}: {}", capability.name, capability.detail)?;
            }
            writeln!(out, "\nKeys that are checked, and whose feature is not built yet:")?;
            for feature in hsu_config::features() {
                writeln!(out, "  {}: {}", feature.key, feature.why)?;
            }
        }
    }
    Ok(Exit::Success)
}
