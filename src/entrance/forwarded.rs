//! The header `Forwarded` (RFC 7239).

/// What one proxy wrote.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Element {
    pub client: Option<String>,
    pub scheme: Option<String>,
    pub host: Option<String>,
}

/// The items of a list; `None` if a quote in it does not end. Commas in quotes do not end an item, so an
/// open quote of a client would hide what a proxy has added.
pub fn items(list: &str) -> Option<impl Iterator<Item = &str>> {
    let mut quotes = Quotes::default();
    list.chars().for_each(|letter| {
        quotes.pass(letter);
    });
    (!quotes.open).then(|| split(list, ','))
}

/// Reads one item: pairs such as `for="[2001:db8::1]:4711"`.
pub fn element(item: &str) -> Element {
    let mut element = Element::default();
    for pair in split(item, ';') {
        let Some((name, value)) = pair.split_once('=') else {
            continue;
        };
        let field = match name.trim().to_ascii_lowercase().as_str() {
            "for" => &mut element.client,
            "proto" => &mut element.scheme,
            "host" => &mut element.host,
            _ => continue,
        };
        *field = Some(unquoted(value.trim()));
    }
    element
}

fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut quotes = Quotes::default();
    text.split(move |letter| quotes.pass(letter) && letter == separator)
}

/// Whether the letters of a text are in quotes.
#[derive(Default)]
struct Quotes {
    open: bool,
    escaped: bool,
}

impl Quotes {
    /// Goes on to the next letter. Returns whether it is outside of quotes.
    fn pass(&mut self, letter: char) -> bool {
        match letter {
            _ if self.escaped => self.escaped = false,
            '\\' if self.open => self.escaped = true,
            '"' => self.open = !self.open,
            _ => return !self.open,
        }
        false
    }
}

/// A value without its quotes and the backslashes in them.
fn unquoted(value: &str) -> String {
    let inner = value
        .strip_prefix('"')
        .and_then(|value| value.strip_suffix('"'));
    let Some(inner) = inner else {
        return value.to_owned();
    };
    let mut escaped = false;
    inner
        .chars()
        .filter(|letter| {
            escaped = *letter == '\\' && !escaped;
            !escaped
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_protect_separators() {
        let list = r#"for="a,b;c\"d";proto=http , for=e"#;
        let found: Vec<_> = items(list).expect("closed").map(element).collect();
        assert_eq!(found[0].client.as_deref(), Some(r#"a,b;c"d"#));
        assert_eq!(found[0].scheme.as_deref(), Some("http"));
        assert_eq!(found[1].client.as_deref(), Some("e"));
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn a_quote_that_does_not_end_spoils_the_list() {
        for list in [
            r#"for="1.1.1.1, for=192.0.2.1"#,
            r#"for=", for="[2001:db8::1]""#,
            r#"for="\, for="[2001:db8::1]""#,
            r#"for="a\""#,
        ] {
            assert!(items(list).is_none(), "{list}");
        }
        assert!(items(r#"for="a\"b", for=c"#).is_some());
    }

    #[test]
    fn broken_elements_say_nothing() {
        for text in ["", "for", ";;", "by=x", "=for", "\"for=a"] {
            assert_eq!(element(text), Element::default(), "{text}");
        }
    }
}
