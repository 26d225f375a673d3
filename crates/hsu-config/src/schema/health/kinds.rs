//! What each kind of check looks at.

use std::time::Duration;

use hsu_model::units::ByteSize;

use crate::findings::At;
use crate::node::{Data, Node};
use crate::reader::Reader;
use crate::schema::execution::Environment;
use crate::schema::health::{Headers, Inner};
use crate::schema::types::{Count, Filled, Port, Whole};
use crate::schema::{Read, Shape, section};
use crate::value::{Refused, number};

section! {
    /// The `http` section.
    Http {
        url: Filled { default: "required", means: "What to ask: `http://` or `https://`." }
        method: Filled { default: "GET", means: "How to ask." }
        headers: Headers { means: "Headers of the question." }
        body: String { means: "What is sent along." }
        expected_status: Vec<At<StatusRange>> { default: "[200-299]", means: "The statuses that are healthy." }
        expected_body: Regex { means: "What the first 64 KiB of the answer must match somewhere." }
        follow_redirects: Whole<0, 3> { default: "0", means: "How many redirects to the same host are followed." }
        unix_socket: Filled { means: "Connect to this socket; the host of `url` is only told to it." }
        tls: Tls { means: "For `https://`." }
        allow_link_local: bool { default: "false", means: "Reach link-local addresses and metadata services of clouds too." }
        answered_by: AnsweredBy { default: "anybody", means: "Whose answer counts: `anybody`'s, that of a process of this `worker` only, or that of a user only, who made the socket that listens. It must listen on this host; whoever else does is not asked, and the check fails. Linux only." }
    }
}

section! {
    /// The `grpc` section.
    Grpc {
        address: Filled { default: "required", means: "`host:port`." }
        service: String { default: "the whole server", means: "The service that `grpc.health.v1.Health/Check` is asked about; with `method`, the service that has it." }
        method: Filled { means: "Call this method of `service` with an empty message; any good answer is healthy." }
        headers: Headers { means: "Metadata of the question." }
        unix_socket: Filled { means: "Connect to this socket; `address` is only told to it." }
        tls: Tls { default: "no TLS", means: "Protect the connection; `tls: {}` trusts whom the host trusts." }
        allow_link_local: bool { default: "false", means: "As in `http`." }
        answered_by: AnsweredBy { default: "anybody", means: "As in `http`." }
    }
}

section! {
    /// The `tcp` section.
    Tcp {
        address: Filled { default: "required, unless `unix_socket` is there", means: "The host." }
        port: Port { default: "required, unless `unix_socket` is there", means: "The port." }
        unix_socket: Filled { means: "Connect to this socket." }
        tls: Tls { default: "no TLS", means: "Shake hands too." }
        allow_link_local: bool { default: "false", means: "As in `http`." }
        answered_by: AnsweredBy { default: "anybody", means: "As in `http`." }
    }
}

/// Whose answer counts.
#[derive(Debug)]
pub(crate) enum AnsweredBy {
    /// That of whoever is there.
    Anybody,
    /// That of the worker.
    Worker,
    /// That of a user.
    User(Box<AnsweringUser>),
}

section! {
    /// A user whose answer counts.
    AnsweringUser {
        user: Filled { default: "required", means: "The user, by name or number." }
    }
}

impl Read for AnsweredBy {
    const SHAPE: Shape = Shape::Either("`anybody` or `worker`", || AnsweringUser::SHAPE);

    fn read(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        if let Data::Mapping(_) = &node.data {
            return AnsweringUser::read(node, reader).map(|user| Self::User(Box::new(user)));
        }
        reader.parsed(node, "`anybody`, `worker` or a user", |text| match text {
            "anybody" => Ok(Self::Anybody),
            "worker" => Ok(Self::Worker),
            _ => {
                let hint = "write `anybody`, `worker`, or `{ user: NAME }`";
                Err(Refused::new("is nobody whose answer could count", hint))
            }
        })
    }
}

section! {
    /// The `tls` section.
    Tls {
        ca_file: Filled { default: "those of the host", means: "Certificates of authorities that are trusted, as PEM." }
        server_name: Filled { default: "the host", means: "The name that must be in the certificate." }
        insecure: bool { default: "false", means: "Believe any certificate." }
        cert_file: Filled { means: "Our own certificate, as PEM; with `key_file`." }
        key_file: Filled { means: "Its key, as PEM." }
    }
}

section! {
    /// The `exec` section.
    Exec {
        command: Filled { default: "required", means: "The program." }
        args: Vec<At<String>> { means: "Its arguments." }
        environment: Environment { means: "Variables beside those of the worker; `HSU_CHECK_WORKER`, `HSU_CHECK_RUN` and `HSU_CHECK_PID` are there." }
        working_directory: Filled { default: "that of the worker", means: "Where it runs." }
        expected_exit_codes: Vec<At<Whole<0, 255>>> { default: "[0]", means: "The exit codes that are healthy." }
        expected_output: Regex { means: "What the first 64 KiB of its output must match somewhere." }
    }
}

section! {
    /// The `script` section.
    Script {
        inline: Filled { means: "The text of the script, at most 64 KiB; or `file`." }
        file: Filled { means: "The file that holds it." }
        interpreter: Filled { default: "`/bin/sh`", means: "The program that runs it: the text from its standard input, or the file as its first argument." }
        args: Vec<At<String>> { means: "Arguments of the script, for `file`." }
        environment: Environment { means: "As in `exec`." }
        working_directory: Filled { default: "that of the worker", means: "Where it runs." }
        expected_exit_codes: Vec<At<Whole<0, 255>>> { default: "[0]", means: "As in `exec`." }
        expected_output: Regex { means: "As in `exec`." }
    }
}

section! {
    /// The `file` section.
    FileCheck {
        path: Filled { default: "required", means: "The file." }
        exists: bool { default: "true", means: "Whether it must be there, or must not." }
        max_age: Duration { means: "It was written not longer ago than this." }
        min_age: Duration { means: "It was written at least so long ago." }
        min_size: ByteSize { means: "It is at least so large." }
        max_size: ByteSize { means: "It is at most so large." }
        expected_content: Regex { means: "What its first 64 KiB must match somewhere." }
    }
}

section! {
    /// The `composite` section.
    Composite {
        all: Vec<At<Term>> { means: "Passes when each of these does." }
        any: Vec<At<Term>> { means: "Passes when one of these does." }
        not: Term { means: "Passes when this one fails." }
        at_least: Count { means: "Passes when so many of `of` do." }
        of: Vec<At<Term>> { means: "For `at_least`." }
    }
}

/// The name of a check, or what follows from several.
#[derive(Debug)]
pub(crate) enum Term {
    /// This check.
    Name(String),
    /// What follows.
    Composite(Inner<Composite>),
}

impl Read for Term {
    const SHAPE: Shape = Shape::Either("the name of a check", || Inner::<Composite>::SHAPE);

    fn read(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        match &node.data {
            Data::Mapping(_) => Inner::read(node, reader).map(Self::Composite),
            Data::Scalar { .. } | Data::Sequence(_) => {
                Filled::read(node, reader).map(|name| Self::Name(name.0))
            }
        }
    }
}

/// HTTP statuses from the first to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StatusRange(pub(crate) u16, pub(crate) u16);

impl Read for StatusRange {
    const SHAPE: Shape = Shape::Value("HTTP status or a range such as `200-299`");

    fn read(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        reader.parsed(node, "a status or a range", |text| {
            let (first, last) = text.split_once('-').unwrap_or((text, text));
            let status = |text| number::whole(text, 100, 599);
            let (first, last) = (status(first)?, status(last)?);
            if last < first {
                return Err(Refused::new("ends before it begins", "write the lower status first"));
            }
            let narrow = |status| u16::try_from(status).unwrap_or(u16::MAX);
            Ok(Self(narrow(first), narrow(last)))
        })
    }
}

/// A regular expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Regex(pub(crate) String);

impl Read for Regex {
    const SHAPE: Shape = Shape::Value("regular expression");

    fn read(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        reader.parsed(node, "a regular expression", |text| {
            match regex::bytes::RegexBuilder::new(text).size_limit(1 << 20).build() {
                Ok(_) => Ok(Self(text.to_owned())),
                Err(error) => {
                    let last = error.to_string();
                    let last = last.lines().last().unwrap_or_default().trim();
                    let last = last.strip_prefix("error: ").unwrap_or(last).to_owned();
                    let hint = "the syntax is that of Rust's regex crate: no look-around, no back-references";
                    Err(Refused::new(format!("is no regular expression: {last}"), hint))
                }
            }
        })
    }
}
