//! Composing: YAML events to a tree, within a budget.
//!
//! The tree is built here rather than by a serde data model, because the file's
//! author deserves what such a model hides: the first of two equal keys, a tag
//! that means nothing to us, which alias repeats how much. An alias costs what
//! it repeats, so a "billion laughs" ends at the node budget; copies share their
//! content, so it costs no memory either. `<<` merges as in YAML 1.1, see
//! [`merge`]. Refused: unknown tags, equal keys, keys that are not text, a second
//! document, a cycle.

mod merge;
mod syntax;

use std::borrow::Cow;
use std::collections::HashMap;
use std::rc::Rc;

use granit_parser::{Event, Parser, ScalarStyle, Span, StrInput, Tag};

use crate::findings::{Findings, Place, shown};
use crate::node::{Data, Entry, Node, Piece};
use crate::source::Limits;

/// The tree of the only document; none when it is empty or was given up with an error.
pub(crate) fn compose<'s>(
    text: &'s str,
    limits: &Limits,
    findings: &mut Findings,
) -> Option<Node<'s>> {
    let depth = limits.depth.saturating_add(1);
    let mut options = granit_parser::options! {
        flow_nesting_limit: depth,
        block_nesting_limit: depth,
    };
    options.set_emit_comments(false);
    let mut composer = Composer {
        text,
        parser: Parser::new_from_str_with_options(text, options),
        limits,
        findings,
        nodes: 0,
        aliases: 0,
        bytes: 0,
        documents: 0,
        anchors: HashMap::new(),
        open: Vec::new(),
        root: None,
    };
    match composer.run() {
        Ok(()) => composer.root,
        Err(Stop) => None,
    }
}

/// The document is given up; the reason is in the findings.
struct Stop;

struct Composer<'s, 'a> {
    text: &'s str,
    parser: Parser<'s, StrInput<'s>>,
    limits: &'a Limits,
    findings: &'a mut Findings,
    /// Values so far, those that aliases repeat included.
    nodes: usize,
    aliases: usize,
    /// Bytes of scalars so far, those that aliases repeat included.
    bytes: usize,
    documents: usize,
    anchors: HashMap<usize, Anchored<'s>>,
    open: Vec<Open<'s>>,
    root: Option<Node<'s>>,
}

/// A value that aliases may repeat, and what each repetition costs.
struct Anchored<'s> {
    node: Node<'s>,
    nodes: usize,
    bytes: usize,
}

/// A collection whose end has not come.
struct Open<'s> {
    content: Content<'s>,
    start: usize,
    anchor: usize,
    /// What had been counted before it.
    nodes: usize,
    bytes: usize,
}

enum Content<'s> {
    Sequence(Vec<Node<'s>>),
    Mapping { entries: Vec<Entry<'s>>, key: Option<Key<'s>> },
}

struct Key<'s> {
    text: Piece<'s>,
    place: Place,
    is_merge: bool,
}

impl<'s> Composer<'s, '_> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the parser may learn more events")]
    fn run(&mut self) -> Result<(), Stop> {
        while let Some(next) = self.parser.next_event() {
            let (event, span) = next.map_err(|error| {
                syntax::report(&error, self.text, self.limits, self.findings);
                Stop
            })?;
            match event {
                Event::DocumentStart(..) => self.begin_document(&span)?,
                Event::Scalar(text, style, anchor, tag) => {
                    let plain = self.scalar_is_plain(&text, style, tag.as_deref(), &span);
                    self.scalar(text, plain, anchor, &span)?;
                }
                Event::SequenceStart(_, anchor, tag) => {
                    self.check_tag(tag.as_deref(), "seq", &span);
                    self.begin(Content::Sequence(Vec::new()), anchor, &span)?;
                }
                Event::MappingStart(_, anchor, tag) => {
                    self.check_tag(tag.as_deref(), "map", &span);
                    let content = Content::Mapping { entries: Vec::new(), key: None };
                    self.begin(content, anchor, &span)?;
                }
                Event::SequenceEnd | Event::MappingEnd => self.end(&span)?,
                Event::Alias(id) => self.alias(id, &span)?,
                // Stream and document ends carry nothing; comments and anchor names are not asked for.
                _ => {}
            }
        }
        Ok(())
    }

    fn begin_document(&mut self, span: &Span) -> Result<(), Stop> {
        self.documents += 1;
        if self.documents < 2 {
            return Ok(());
        }
        self.findings
            .error("second-document", place(span), "a second document begins here")
            .hint("one file is one configuration; remove the `---`, or make two files");
        Err(Stop)
    }

    /// Whether a scalar is read by its looks (`5` is a number) rather than as text.
    fn scalar_is_plain(
        &mut self,
        text: &str,
        style: ScalarStyle,
        tag: Option<&Tag>,
        span: &Span,
    ) -> bool {
        let Some(tag) = tag else {
            return style == ScalarStyle::Plain;
        };
        match tag.core_suffix() {
            Some("str") => false,
            Some("int" | "float" | "bool") => true,
            Some("null") => crate::node::is_null(text),
            _ if tag.original() == "!" => false,
            _ => {
                self.refuse_tag(tag, span);
                true
            }
        }
    }

    fn check_tag(&mut self, tag: Option<&Tag>, expected: &str, span: &Span) {
        if let Some(tag) = tag
            && !tag.is_yaml_core_schema_tag(expected)
        {
            self.refuse_tag(tag, span);
        }
    }

    fn refuse_tag(&mut self, tag: &Tag, span: &Span) {
        let at = span.tag_span().map_or_else(|| place(span), |span| place(&span));
        self.findings
            .error("tag", at, format!("the tag `{}` has no meaning here", shown(&tag.original())))
            .hint("remove the tag; types follow from the keys");
    }

    fn scalar(
        &mut self,
        text: Cow<'s, str>,
        plain: bool,
        anchor: usize,
        span: &Span,
    ) -> Result<(), Stop> {
        let at = place(span);
        let text = match text {
            Cow::Borrowed(text) => Piece::Borrowed(text),
            Cow::Owned(text) => Piece::Made(text.into()),
        };
        if text.contains('\0') {
            self.findings
                .error("control-character", at, "a NUL character cannot be part of a value")
                .label("written as an escape");
        }
        let bytes = text.len();
        let node = Node { place: at, data: Data::Scalar { text, plain } };
        if anchor != 0 {
            self.anchors.insert(anchor, Anchored { node: node.clone(), nodes: 1, bytes });
        }
        self.bytes = self.bytes.saturating_add(bytes);
        self.place_node(node, 1)
    }

    fn begin(&mut self, content: Content<'s>, anchor: usize, span: &Span) -> Result<(), Stop> {
        let start = offset(&span.start);
        if self.open.len() >= self.limits.depth {
            syntax::report_depth(Place::new(start, start + 1), self.limits, self.findings);
            return Err(Stop);
        }
        self.key_must_be_text(Place::new(start, offset(&span.end)))?;
        self.open.push(Open { content, start, anchor, nodes: self.nodes, bytes: self.bytes });
        Ok(())
    }

    fn end(&mut self, span: &Span) -> Result<(), Stop> {
        let Some(open) = self.open.pop() else {
            return Ok(());
        };
        let at = Place::new(open.start, offset(&span.end));
        let data = match open.content {
            Content::Sequence(items) => Data::Sequence(Rc::new(items)),
            Content::Mapping { entries, .. } => {
                Data::Mapping(Rc::new(merge::settle(entries, self.findings)))
            }
        };
        let node = Node { place: at, data };
        if open.anchor != 0 {
            let anchored = Anchored {
                node: node.clone(),
                nodes: self.nodes.saturating_sub(open.nodes) + 1,
                bytes: self.bytes.saturating_sub(open.bytes),
            };
            self.anchors.insert(open.anchor, anchored);
        }
        self.place_node(node, 1)
    }

    fn alias(&mut self, id: usize, span: &Span) -> Result<(), Stop> {
        let at = place(span);
        self.aliases += 1;
        if self.aliases > self.limits.aliases {
            let message = format!("more than {} aliases", self.limits.aliases);
            self.findings
                .error("budget", at, message)
                .hint("put what workers share into `log_collection.default_worker` or repeat it");
            return Err(Stop);
        }
        let Some(anchored) = self.anchors.get(&id) else {
            self.findings
                .error("cycle", at, "an alias stands inside the value that it repeats")
                .hint("an alias can only repeat what is complete before it");
            return Err(Stop);
        };
        let (node, nodes, bytes) = (anchored.node.clone(), anchored.nodes, anchored.bytes);
        self.bytes = self.bytes.saturating_add(bytes);
        // The file's own scalars are at most `bytes`; what aliases add is at most as much again.
        if self.bytes > self.limits.bytes.saturating_mul(2) {
            let message = format!("aliases repeat more than {} bytes", self.limits.bytes);
            self.findings.error("budget", at, message);
            return Err(Stop);
        }
        self.place_node(node, nodes)
    }

    /// Puts a complete value where it belongs, at the price of `nodes`.
    fn place_node(&mut self, node: Node<'s>, nodes: usize) -> Result<(), Stop> {
        let at = node.place;
        match self.open.last_mut().map(|open| &mut open.content) {
            None => self.root = Some(node),
            Some(Content::Sequence(items)) => items.push(node),
            Some(Content::Mapping { entries, key }) => match key.take() {
                Some(key) => entries.push(Entry {
                    key: key.text,
                    key_place: key.place,
                    is_merge: key.is_merge,
                    value: node,
                }),
                // Keys are not counted: there are as many as values.
                None => {
                    *key = Some(key_of(node, self.findings)?);
                    return Ok(());
                }
            },
        }
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes <= self.limits.nodes {
            return Ok(());
        }
        let message = format!("more than {} values", self.limits.nodes);
        self.findings.error("budget", at, message).label("aliases count as often as they repeat");
        Err(Stop)
    }

    fn key_must_be_text(&mut self, at: Place) -> Result<(), Stop> {
        match self.open.last().map(|open| &open.content) {
            Some(Content::Mapping { key: None, .. }) => {
                refuse_key(at, self.findings);
                Err(Stop)
            }
            Some(Content::Mapping { key: Some(_), .. } | Content::Sequence(_)) | None => Ok(()),
        }
    }
}

fn key_of<'s>(node: Node<'s>, findings: &mut Findings) -> Result<Key<'s>, Stop> {
    match node.data {
        Data::Scalar { text, plain } => {
            Ok(Key { is_merge: plain && &*text == "<<", text, place: node.place })
        }
        Data::Sequence(_) | Data::Mapping(_) => {
            refuse_key(node.place, findings);
            Err(Stop)
        }
    }
}

fn refuse_key(at: Place, findings: &mut Findings) {
    findings
        .error("key", at, "a key must be text, not a list or a mapping")
        .hint("quote a text that begins with `{`, `[`, `*` or `&`");
}

fn place(span: &Span) -> Place {
    Place::new(offset(&span.start), offset(&span.end))
}

fn offset(marker: &granit_parser::Marker) -> usize {
    marker.byte_offset().unwrap_or_else(|| marker.index())
}
