//! `hsu-master capabilities`: what this host can do, and what is not built yet.

use hsu_model::limits::Cgroups;
use std::io::{Write as _, stdout};

use hsu_api::{CapabilityView, FeatureView, HostView};

use crate::arguments::Output;
use crate::exit::Exit;

/// Prints both lists.
pub(crate) fn capabilities(output: Output) -> anyhow::Result<Exit> {
    let mut out = stdout().lock();
    let host = hsu_sys::capabilities(&hsu_sys::limits::Survey::look(Cgroups::Auto));
    match output {
        Output::Json => {
            let host = host.into_iter().map(|capability| CapabilityView {
                name: capability.name.to_owned(),
                available: capability.available,
                detail: capability.detail,
            });
            let not_built = hsu_config::features().iter().map(|feature| FeatureView {
                key: feature.key.clone(),
                what: feature.why.to_owned(),
            });
            let view = HostView { host: host.collect(), not_built: not_built.collect() };
            serde_json::to_writer_pretty(&mut out, &view)?;
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
