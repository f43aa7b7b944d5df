//! XML as a tree of elements, within limits: size, depth, number of elements, no document type, no entities but the predefined.

use encoding_rs::{Encoding, UTF_8};
use quick_xml::events::{BytesStart, Event};
use quick_xml::name::ResolveResult;
use quick_xml::{NsReader, XmlVersion};
use thiserror::Error;

/// Bytes of a document at most. The largest of 443 warnings looked at had 60 kB.
pub const BYTES_MAX: usize = 1 << 20;
/// Elements within each other at most; CAP has four.
const DEPTH_MAX: usize = 24;
/// Elements of a document at most.
const ELEMENTS_MAX: usize = 20_000;
/// Attributes of an element at most.
const ATTRIBUTES_MAX: usize = 32;
/// The XML declaration stands within so many bytes.
const DECLARATION_BYTES: usize = 200;

/// Why a document is not read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum XmlError {
    /// More than [`BYTES_MAX`].
    #[error("it has {0} bytes: more than {BYTES_MAX} are not read")]
    TooLarge(usize),
    /// Elements within elements.
    #[error("its elements are nested deeper than {DEPTH_MAX}")]
    TooDeep,
    /// Too many elements, or attributes of one element.
    #[error("it has more than {ELEMENTS_MAX} elements, or an element with more than {ATTRIBUTES_MAX} attributes")]
    TooMany,
    /// A `<!DOCTYPE`: entities could be defined there.
    #[error("it has a document type, in which entities can be defined: such documents are not read")]
    DocumentType,
    /// An entity that nobody defined.
    #[error("it uses the entity &{0}; which is not one of XML's own")]
    Entity(String),
    /// Encoding that is not known, or bytes that are not of it.
    #[error("its characters are not those of its encoding {0}")]
    Encoding(String),
    /// Not well formed.
    #[error("it is not well formed: {0}")]
    Malformed(String),
}

/// An element with what it contains.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Element {
    /// Address of its namespace; empty: none.
    pub namespace: String,
    /// Name without prefix.
    pub name: String,
    /// Attributes by name without prefix, declarations of namespaces left out.
    pub attributes: Vec<(String, String)>,
    /// All of its own text, without spaces around it.
    pub text: String,
    /// Elements in it, in order.
    pub children: Vec<Element>,
}

impl Element {
    /// Elements of its own namespace with a name.
    pub fn named<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a Element> + use<'a, 'n> {
        self.children.iter().filter(move |child| child.name == name && child.namespace == self.namespace)
    }

    /// Text of the first such element; empty if there is none.
    pub fn text_of(&self, name: &str) -> &str {
        self.named(name).next().map_or("", |child| child.text.as_str())
    }

    /// Value of an attribute.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(of, _)| of == name).map(|(_, value)| value.as_str())
    }
}

/// The root element of a document.
///
/// # Errors
/// It is not well formed, or beyond a limit.
pub fn parse(document: &[u8]) -> Result<Element, XmlError> {
    if document.len() > BYTES_MAX {
        return Err(XmlError::TooLarge(document.len()));
    }
    let text = decode(document)?;
    let mut reader = NsReader::from_str(&text);
    reader.config_mut().expand_empty_elements = true;
    let mut tree = Tree::default();
    loop {
        let (namespace, event) = reader.read_resolved_event().map_err(|e| XmlError::Malformed(e.to_string()))?;
        match event {
            Event::Start(start) => tree.open(element(&namespace, &start)?)?,
            Event::End(_) => tree.close(),
            Event::Text(text) => tree.text(&text.xml_content(XmlVersion::Explicit1_0)),
            Event::CData(data) => tree.text(&data.xml_content(XmlVersion::Explicit1_0)),
            Event::GeneralRef(entity) => {
                let character = entity.resolve_char_ref().map_err(|e| XmlError::Malformed(e.to_string()))?;
                match (character, quick_xml::escape::resolve_predefined_entity(&entity)) {
                    (Some(character), _) => tree.text(character.encode_utf8(&mut [0; 4])),
                    (None, Some(text)) => tree.text(text),
                    (None, None) => return Err(XmlError::Entity(entity.chars().take(20).collect())),
                }
            }
            Event::DocType(_) => return Err(XmlError::DocumentType),
            Event::Eof => return tree.root(),
            Event::Empty(_) | Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
        }
    }
}

/// The characters of a document by its byte order mark or declaration; UTF-8 without either.
fn decode(document: &[u8]) -> Result<std::borrow::Cow<'_, str>, XmlError> {
    let declared = || {
        let begin = String::from_utf8_lossy(&document[..document.len().min(DECLARATION_BYTES)]).into_owned();
        let declaration = begin.strip_prefix("<?xml")?.split_once("?>")?.0.to_string();
        let value = declaration.split_once("encoding")?.1.trim_start().strip_prefix('=')?.trim_start().to_string();
        let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        Some(value[1..].split(quote).next()?.to_string())
    };
    let (encoding, skipped) = match (Encoding::for_bom(document), declared()) {
        (Some(found), _) => found,
        (None, Some(name)) => (Encoding::for_label(name.as_bytes()).ok_or(XmlError::Encoding(name))?, 0),
        (None, None) => (UTF_8, 0),
    };
    let text = encoding.decode_without_bom_handling_and_without_replacement(&document[skipped..]);
    text.ok_or_else(|| XmlError::Encoding(encoding.name().to_string()))
}

fn element(namespace: &ResolveResult<'_>, start: &BytesStart<'_>) -> Result<Element, XmlError> {
    let namespace = match namespace {
        ResolveResult::Bound(namespace) => namespace.into_inner().to_string(),
        ResolveResult::Unbound => String::new(),
        ResolveResult::Unknown(prefix) => {
            return Err(XmlError::Malformed(format!("the prefix {prefix} has no namespace")));
        }
    };
    let mut attributes = Vec::new();
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|e| XmlError::Malformed(e.to_string()))?;
        if attribute.key.as_namespace_binding().is_some() {
            continue;
        }
        let value = attribute.normalized_value(XmlVersion::Explicit1_0);
        let value = value.map_err(|e| XmlError::Malformed(e.to_string()))?.into_owned();
        attributes.push((attribute.key.local_name().into_inner().to_string(), value));
        if attributes.len() > ATTRIBUTES_MAX {
            return Err(XmlError::TooMany);
        }
    }
    let name = start.local_name().into_inner().to_string();
    Ok(Element { namespace, name, attributes, ..Element::default() })
}

/// The elements that are open, and the root once it is closed.
#[derive(Default)]
struct Tree {
    open: Vec<Element>,
    root: Option<Element>,
    elements: usize,
}

impl Tree {
    fn open(&mut self, element: Element) -> Result<(), XmlError> {
        self.elements += 1;
        if self.elements > ELEMENTS_MAX {
            return Err(XmlError::TooMany);
        }
        if self.open.len() >= DEPTH_MAX {
            return Err(XmlError::TooDeep);
        }
        if self.root.is_some() {
            return Err(XmlError::Malformed("it has a second root element".to_string()));
        }
        self.open.push(element);
        Ok(())
    }

    fn close(&mut self) {
        let Some(mut closed) = self.open.pop() else { return };
        closed.text = closed.text.trim().to_string();
        match self.open.last_mut() {
            Some(parent) => parent.children.push(closed),
            None => self.root = Some(closed),
        }
    }

    fn text(&mut self, text: &str) {
        self.open.iter_mut().last().into_iter().for_each(|element| element.text.push_str(text));
    }

    fn root(self) -> Result<Element, XmlError> {
        if !self.open.is_empty() {
            return Err(XmlError::Malformed("it ends within an element".to_string()));
        }
        self.root.ok_or_else(|| XmlError::Malformed("it has no element".to_string()))
    }
}
