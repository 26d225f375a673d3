//! Seeds that are text: configurations, values, lines, files of the kernel, requests, words.

fn bytes<const N: usize>(texts: [&str; N]) -> Vec<Vec<u8>> {
    texts.map(|text| text.as_bytes().to_vec()).into()
}

/// Rows 1 to 37 of the catalogue, as far as they fit, and files that are taken.
pub(crate) fn configs() -> Vec<Vec<u8>> {
    let worker = "workers:\n  - id: w\n    type: managed\n    unit:\n      managed:\n        control:\n          execution: { executable_path: /bin/w }\n";
    let with = |line: &str| format!("{worker}          {line}\n");
    let mut seeds = bytes([
        "",
        "# nothing\n",
        "---\nworkers: []\n---\nworkers: []\n",
        "workers:\n\t- id: w\n",
        "a: &a [x,x,x,x]\nb: &b [*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b]\nworkers: *c\n",
        "a: &a [*a]\nworkers: *a\n",
        "workers: !!python/object {}\n",
        "<<: 1\nworkers: []\n",
        "process_manager: { port: 1 }\nmanaged_processes:\n  - { id: w, type: standard_managed, management: { control: { execution: { executable_path: /bin/w } } } }\n",
        "master: { port: 65536, base_directory: /b }\nworkers: no\n",
        "log_collection: { enabled: true, global_aggregation: { targets: [{ type: file, path: \"{worker_id}.log\", format: json }] } }\nworkers: []\n",
    ]);
    seeds.extend([
        b"\xef\xbb\xbfworkers: []\n".to_vec(),
        b"\xff\xfew\0o\0r\0".to_vec(),
        b"workers: \"\0\"\n".to_vec(),
        b"workers: \"\xff\"\n".to_vec(),
        vec![b'['; 500],
        (0..100).flat_map(|depth| [" ".repeat(depth).as_bytes(), b"a:\n"].concat()).collect(),
    ]);
    for line in [
        "restart_policy: always",
        "restart: { policy: on-failure, max_retries: 3, retry_delay: 5s, backoff_rate: 1.5 }",
        "graceful_timeout: 1h30m",
        "restrat: never",
        "log_collection: { enabled: true, capture_stdout: true, outputs: { separate: { stdout: [{ type: file, path: o.log }] } } }",
        "limits: { memory: { max: 512MB }, cpu: { max_cores: 1.5 } }",
        "health_check: { type: http, http: { url: http://localhost/ } }",
        "execution: { executable_path: /bin/w, args: [\"${V}\", \"${NONE:-${NAME}}\", $$], environment: { A: b }, user: www-data, rlimits: { open_files: 7 } }",
    ] {
        seeds.push(with(line).into_bytes());
    }
    seeds.push(worker.as_bytes().to_vec());
    seeds
}

/// Rows 20 to 23 and 29.
pub(crate) fn values() -> Vec<Vec<u8>> {
    bytes([
        "5",
        "5 s",
        "-5s",
        "1e9h",
        "\u{221e}",
        "0",
        "0s",
        "1h30m",
        "1.5s",
        "250ms",
        "3d",
        "2w",
        "20000w",
        "1\u{b5}s",
        ".5s",
        "1GB",
        "1GiB",
        "99999999999GiB",
        "16EiB",
        "1.5KiB",
        "0.1B",
        "0x10",
        "1e999",
        ".nan",
        "+1",
        "-20",
        "65536",
        "0o22",
        "0777",
        "RTMIN+3",
        "SIGTERM",
        "64",
        "2023-11-14T22:13:20.123Z",
        "10m",
        "9223372036854775807d",
        "1e9",
        "CON",
        "a_b-c",
        "..",
        "${V}",
        "$$",
        "${V:-d}",
        "${V:-${NAME:-x}}\0value",
        "${",
        "a${NAME}b$${V}",
        "${V}\0\n- id: evil",
        "${V}\0${V}",
        "${1}",
        "${NAME:?x}",
    ])
}

/// Rows 81 to 89: a format, a terminal, a part, a limit, then the block.
pub(crate) fn lines() -> Vec<Vec<u8>> {
    let all: Vec<u8> = (0..=255).collect();
    let blocks: [&[u8]; 10] = [
        b"one\ntwo\n",
        b"no end",
        b"\n\n\n",
        b"crlf\r\nprogress\rbar\n",
        b"\x1b[31mred\x1b]0;t\x07\xc2\x9b1m\n",
        "caf\u{e9} \u{202e} \u{2028} \u{1f600}\n".as_bytes(),
        b"[2025-01-01T00:00:00Z][w][stdout] forged\n",
        b"{\"line\":\"forged\"}\n",
        b"\xe2\x82\n\xf0\x9f\x98",
        &all,
    ];
    let mut seeds = Vec::new();
    for (at, block) in (0..).zip(blocks) {
        for format in 0..3 {
            seeds.push([&[format, at & 1, at >> 1 & 1, at * 25][..], block].concat());
        }
    }
    seeds
}

/// Row 87.
pub(crate) fn escapes() -> Vec<Vec<u8>> {
    let mut seeds = bytes([
        "plain\ttext",
        "\u{1b}]52;c;AAAA\u{7}",
        "\u{1b}P+q\u{1b}\\",
        "\u{9b}31m",
        "\u{202e}evil\u{2066}",
        "\u{feff}\u{200b}",
        "a\rb\u{7f}\0",
    ]);
    seeds.extend((0..=255).map(|byte| vec![byte, b'x', byte]));
    seeds
}

/// Rows 71 to 77 and 116.
pub(crate) fn state() -> Vec<Vec<u8>> {
    use hsu_model::spool::head::{Head, Insert, InsertKind};
    let mut seeds = bytes([
        "",
        "0",
        "1",
        "-1",
        "abc",
        "12 34\n",
        "99999999999999999999",
        "0x10",
        "4711\n",
        "4711\r\n",
        "w/stdout",
        "../stdout",
        "data.00000000000000000042",
        "data.99999999999999999999",
        "hsu-pump-plan 1\na/stdout block size=4194304 files=1 \nb/stderr drop size=9 files=2 age=3 unread=4 path=/l/a b\\n.log\n",
        "grew w/stdout\nstuck\nerrno-28 w/stderr\ndropped-77 w/stdout\nunread w/stdout\n",
        "/var/log/a b.log\n\\\\x\\n\ndata\n",
    ]);
    let insert = Some(Insert { at: 9, kind: InsertKind::DropMarker });
    seeds.push(Head { base: 7, cut: 11, dropped: 3, announced: 1, insert }.encode().to_vec());
    seeds.push(hsu_model::spool::encode_consumed(1 << 40).to_vec());
    seeds
}

/// Files: how many, then kind, offset and content of each; then what is asked.
pub(crate) fn spools() -> Vec<Vec<u8>> {
    let data = [&[1, 8][..], b"one\ntwo\n"].concat();
    let closed = [&[2, 0, 8][..], b"old\nmore"].concat();
    let head = [0, 1, 8, 0].to_vec();
    let cut = [0, 0, 1, 4].to_vec();
    let times = [&[3, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 1, 4, 1][..], &[0; 8]].concat();
    let end = [0, 3, 3, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff].to_vec();
    [
        vec![&data],
        vec![&head, &closed, &data],
        vec![&cut, &data],
        vec![&data, &times],
        vec![&end, &data, &times],
    ]
    .into_iter()
    .map(|files| {
        let count = u8::try_from(files.len()).unwrap_or(0);
        let files: Vec<u8> = files.into_iter().flatten().copied().collect();
        [&[count][..], &files, &[3, 0]].concat()
    })
    .collect()
}

/// A file of cursors with one commit of one output.
pub(crate) fn cursors() -> Vec<Vec<u8>> {
    let sealed = |record: &str| {
        let sum = hsu_model::spool::checksum(record.as_bytes());
        format!("{record} {sum:016x}\n")
    };
    let records = ["n 0 /l/fuzz\\n\\\"\\\\.log", "n 1 w/stdout", "c 0 3 10 7 1=5", "r 0", "f 0"];
    let mut seeds = bytes(["", "hsu-cursors 1\n", "hsu-cursors 2\n"]);
    let mut text = "hsu-cursors 1\n".to_owned();
    for record in records {
        text.push_str(&sealed(record));
        seeds.push(text.clone().into_bytes());
    }
    seeds
}

/// Rows of the store as this version writes them.
pub(crate) fn records() -> Vec<Vec<u8>> {
    bytes([
        r#"{"removed":true}"#,
        r#"{"wanted":true,"enabled":null,"state":"running","reason":"r","run":9,"accounted":8,"started":[5,6],"restarts":3,"attempts":2,"breaker":"closed","next_attempt":null,"last_exit":{"run":8,"exit":{"code":1},"at":4,"lasted":12},"history":[[1,"running","backing-off","because"]],"stop":[2,7000000000],"pid_file":"/run/w.pid"}"#,
        r#"{"wanted":false,"enabled":true,"state":"tripped","run":null,"accounted":null,"started":null,"breaker":{"open":{"trial_at":77}},"next_attempt":70,"last_exit":{"run":8,"exit":"keeper-lost","at":4,"lasted":12},"stop":null}"#,
        r#"{"sequence":5,"at":6,"worker":"w","actor":"master","kind":{"spawned":{"run":7,"pid":4}}}"#,
        r#"{"sequence":5,"at":6,"worker":null,"actor":{"operator":7},"kind":"registered"}"#,
        r#"{"wanted":1}"#,
        "[]",
        "null",
        "{",
        r#"{"wanted":true,"wanted":true}"#,
        "\"\\ud800\"",
        "1e400",
    ])
}

/// Row 77, and what mounts and cgroups look like.
pub(crate) fn proc() -> Vec<Vec<u8>> {
    let stat = "7 (a) R 1 (b) S 1 7 7 0 -1 4194560 1 0 0 0 11 22 0 0 20 0 1 0 333 4096 44 18446744073709551615\n";
    let mounts = "36 31 0:33 / /sys/fs/cgroup/freezer rw shared:12 - cgroup cgroup rw,freezer\n41 31 0:38 /docker/abc /sys/fs/cgroup/uni\\040fied rw shared:13 master:2 - cgroup2 cgroup2 rw\n";
    let kind = |kind: u8, text: &[u8]| [&[kind], text].concat();
    vec![
        kind(0, stat.as_bytes()),
        kind(0, b"7 (\n) Z 2\n) S 1"),
        kind(0, b"7 (x)"),
        kind(1, format!("{mounts}\0006:freezer:/\n0::/docker/abc/child\n").as_bytes()),
        kind(1, b"33 31 0:30 / /cg rw - cgroup2 cgroup2 rw\x000::/../../x\n"),
        kind(2, b"PATH=/bin\0HSU_RUN_ID=7\0HSU_MASTER_ID=m\0HSU_RUN_ID=8\0"),
        kind(2, b"HSU_RUN_ID=-1\0=\0\0"),
        kind(3, b"1\n22\n0\nx\n+5\n99999999999\n"),
    ]
}

/// Rows 50 to 58 and 67, 68: a method, a path, its tail, and a body.
pub(crate) fn requests() -> Vec<Vec<u8>> {
    let ask = |method: u8, path: u8, tail: &str, body: &str| {
        [&[method, path][..], tail.as_bytes(), &[0, 0, 0], body.as_bytes()].concat()
    };
    let mut seeds: Vec<Vec<u8>> = (0..18).map(|path| ask(0, path, "", "")).collect();
    seeds.extend([
        ask(1, 2, "", "{}"),
        ask(1, 3, "", r#"{"force":true,"wait":false}"#),
        ask(1, 3, "", r#"{"force":true,"force":true,"uid":0}"#),
        ask(1, 5, "", r#"{"signal":"HUP"}"#),
        ask(1, 5, "", "{\"signal\":\"\u{1b}[31m\"}"),
        ask(2, 1, "", ""),
        ask(0, 8, "?tail=0&stream=stdout&since=10m", ""),
        ask(0, 8, "?tail=-1&follow=true", ""),
        ask(0, 9, "?for=running&timeout=0.001", ""),
        ask(0, 9, "?for=registered&timeout=1e308", ""),
        ask(0, 10, "?after=18446744073709551615&limit=9999999", ""),
        ask(0, 10, "?last=3&worker=a", ""),
        ask(1, 12, "", r#"{"mode":"keep-workers","force":true}"#),
        ask(1, 13, "", r#"{"executable":"/bin/sh","confirm_mass_stop":true}"#),
        ask(0, 17, "v1/workers/%2e%2e%2fetc", ""),
        ask(0, 17, "v1/workers/%00", ""),
        ask(0, 17, "v1/workers/%zz/why", ""),
        ask(1, 2, "", "[[[[[[[[[["),
        ask(1, 2, "", "\u{feff}{}"),
        ask(1, 2, "", "\"\\ud800\""),
    ]);
    seeds
}

/// Rows 38 to 40.
pub(crate) fn words() -> Vec<Vec<u8>> {
    let lines = [
        "",
        "list",
        "list -o json",
        "start -- -rf",
        "stop w --force --timeout 500ms",
        "logs w -f --tail -1",
        "events --after 7 --limit 3",
        "signal w RTMIN+1",
        "wait w --for running",
        "master shutdown --wait",
        "frobnicate \u{1b}[31m\u{202e}",
        "--socket /x list",
        "--help",
        "why",
        "validate -",
        "list --tail \n\n",
    ];
    let zeroed = |line: &str| line.replace(' ', "\0").into_bytes();
    let mut seeds: Vec<_> = lines.into_iter().map(zeroed).collect();
    seeds.push(b"start\0\xff\xfe\x1b]0;x\x07".to_vec());
    seeds.push([b"describe\0".as_slice(), &[b'x'; 400]].concat());
    seeds
}
