//! Who is told: commands, webhooks, `top`, `usage` and `capabilities`.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use super::*;

#[test]
fn an_alert_reaches_a_command_and_a_webhook_once() {
    let sandbox = Sandbox::new().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/hook?a=b", listener.local_addr().unwrap());
    let file = sandbox.folder().join("alerts").display().to_string();
    let line = format!("cat >> {file}; echo \"$HSU_ALERT_WORKER $HSU_ALERT_LIMIT\" >> {file}");
    let limits = json!({
        "memory": {"max_rss": "40MB", "policy": "alert"},
        "alerts": {"command": ["/bin/sh", "-c", line], "webhook": address, "timeout": "20s"},
    });
    let mut fleet = start(&sandbox, "none", dummy(&["--memory-mb", "60"], limits));
    let (mut peer, _) = listener.accept().unwrap();
    peer.set_read_timeout(Some(SOON)).unwrap();
    let mut request = Vec::new();
    let mut piece = [0; 512];
    while !String::from_utf8_lossy(&request).ends_with('}') {
        let length = peer.read(&mut piece).unwrap();
        assert!(length > 0, "{}", String::from_utf8_lossy(&request));
        request.extend_from_slice(&piece[..length]);
    }
    peer.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
    let request = String::from_utf8(request).unwrap();
    assert!(request.starts_with("POST /hook?a=b HTTP/1.1\r\n"), "{request}");
    let body: Value = serde_json::from_str(request.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    assert_eq!((&body["worker"], &body["limit"]), (&"w".into(), &"memory.max_rss".into()));
    let written = eventually("the command has run", SOON, || {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        if text.contains("w memory.max_rss") { Ok(text) } else { Err(text) }
    });
    assert!(written.unwrap().starts_with('{'));
    let actions = events(&fleet, "limit_action");
    assert_eq!(actions.len(), 1, "{actions:?}");
    fleet.stop(SOON).unwrap();
}

#[test]
fn an_alert_that_reaches_nobody_is_told_in_the_journal() {
    let sandbox = Sandbox::new().unwrap();
    // A port that nobody listens at: it was ours a moment ago.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let limits = json!({
        "memory": {"max_rss": "40MB", "policy": "alert"},
        "alerts": {"command": ["/bin/false"], "webhook": format!("http://{free}/")},
    });
    let mut fleet = start(&sandbox, "none", dummy(&["--memory-mb", "60"], limits));
    let told = |word: &str| {
        event(&fleet, "limit_failed", |event| event["reason"].as_str().unwrap().contains(word));
    };
    told("`/bin/false` failed");
    told(&free.to_string());
    assert_eq!(fleet.wait_for("w", "running", SOON).unwrap().restarts(), 0);
    fleet.stop(SOON).unwrap();
}

#[test]
fn what_a_worker_uses_is_shown_and_remembered() {
    let sandbox = Sandbox::new().unwrap();
    let limits = json!({
        "memory": {"max_rss": "1GB"},
        "monitoring": {"interval": "1s", "history_retention": "1h"},
    });
    let plain = Worker::new("plain", "/bin/sleep").arguments(["1000"]);
    let worker = dummy(&["--memory-mb", "30", "--cpu-percent", "30"], limits);
    let mut fleet = FleetBuilder::new(&sandbox).worker(worker).worker(plain).start().unwrap();
    let records = eventually("three records are there", SOON, || {
        let usage = fleet.ask(&["usage", "w", "--since", "10m"]).map_err(|e| e.to_string())?;
        let records = usage["records"].as_array().cloned().unwrap_or_default();
        // It begins small: what it takes is there a little later.
        let last = records.last().cloned().unwrap_or_default();
        let is_all =
            last["memory_bytes"].as_u64() > Some(30 * MIB) && last["threads"].as_u64() > Some(1);
        if records.len() > 2 && is_all { Ok(last) } else { Err(usage.to_string()) }
    });
    assert_eq!(records.unwrap()["processes"], 1);
    let top = fleet.tell(&["top", "--sort", "memory"]).unwrap();
    assert!(top.contains("MEMORY") && top.lines().count() == 2, "only workers with limits: {top}");
    let nothing = fleet.ask(&["usage", "plain"]).unwrap();
    assert_eq!(nothing["records"], json!([]));
    let refused = fleet.client(&["usage", "w", "--since", "yesterday"]).unwrap();
    assert!(!refused.status.success());
    fleet.stop(SOON).unwrap();
}

#[test]
fn the_host_says_what_it_can_keep_workers_to() {
    let sandbox = Sandbox::new().unwrap();
    let fleet = start(&sandbox, "none", dummy(&[], json!({"cpu": {"max_cores": 1}})));
    let host = fleet.ask(&["capabilities"]).unwrap()["host"].as_array().unwrap().clone();
    let one = |name: &str| host.iter().find(|one| one["name"] == name).unwrap().clone();
    for name in ["memory", "CPUs", "disk", "processes"] {
        let capability = one(&format!("limit the {name} of a worker"));
        assert_eq!(capability["available"], false, "{capability}");
        let detail = capability["detail"].as_str().unwrap();
        assert!(detail.contains("switched off by `master.cgroups`"), "{detail}");
    }
    let network = one("limit the network bandwidth of a worker");
    assert_eq!(network["available"], false);
    let described = fleet.tell(&["describe", "w"]).unwrap();
    assert!(described.contains("cpu.max_percent: 100.0 %"), "{described}");
    assert!(described.contains("watched; no CPU cgroup"), "{described}");
}

#[test]
fn how_much_a_worker_waits_is_told_where_the_kernel_tells_it() {
    let sandbox = Sandbox::new().unwrap();
    let worker = dummy(&["--cpu-percent", "50"], json!({"memory": {"max_rss": "1GB"}}));
    let mut fleet = start(&sandbox, "v2", worker);
    fleet.wait_for("w", "running", SOON).unwrap();
    let process = relatives(&sandbox).remove(0);
    let places = std::fs::read_to_string(format!("/proc/{}/cgroup", process.outer_pid)).unwrap();
    let path = places.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
    let root = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"].map(std::path::Path::new);
    let tells = root.iter().any(|root| root.join(path).join("cpu.pressure").is_file());
    let pressure = fleet.ask(&["describe", "w"]).unwrap()["pressure"].clone();
    assert_eq!(pressure.is_object(), tells && !path.is_empty(), "{pressure}; {places}");
    if tells {
        let share = pressure["cpu_percent"].as_f64().unwrap();
        assert!((0.0..=100.0).contains(&share), "{share}");
        let text = fleet.tell(&["describe", "w"]).unwrap();
        assert!(text.contains("of the last 10 s for CPU"), "{text}");
    }
    fleet.stop(SOON).unwrap();
}
