//! The query string as Phoenix clients write it: names with values, nested by brackets.
//!
//! ```text
//! token=abc&user[name]=Ann&tags[]=a&tags[]=b&vsn=2.0.0
//! ```
//!
//! Of equal names the last counts, as in Plug; a name whose brackets do not close is just a name.

use form_urlencoded::parse;
use thiserror::Error;

/// The parameters of a connection, in the order in which their names first appeared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params(Vec<(String, Param)>);

/// One parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Param {
    /// `name=text`
    Text(String),
    /// `name[key]=…`
    Map(Params),
    /// `name[]=…`
    List(Vec<Self>),
}

/// How much a query string may ask for; its length is the limit of the request's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParamsLimits {
    /// Most `name=value` pairs; each name is compared with those before it. Default: 128.
    pub pairs_max: usize,
    /// Most brackets after a name. Default: 8; each costs a level of the stack.
    pub depth_max: u8,
}

/// Why a query string is refused, with status 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ParamsError {
    /// More pairs than [`ParamsLimits::pairs_max`].
    #[error("too many query parameters")]
    TooMany,
    /// More brackets than [`ParamsLimits::depth_max`].
    #[error("query parameters are nested too deeply")]
    TooDeep,
}

impl Params {
    /// Reads the part of a request's target after the `?`.
    ///
    /// # Errors
    ///
    /// [`ParamsError`] when it asks for more than the limits allow. Bytes that are no UTF-8 and
    /// percent signs that escape nothing are read as they can be.
    pub fn parse(query: &str, limits: &ParamsLimits) -> Result<Self, ParamsError> {
        let mut params = Self::default();
        for (index, (name, value)) in parse(query.as_bytes()).enumerate() {
            if index >= limits.pairs_max {
                return Err(ParamsError::TooMany);
            }
            let (name, keys) = split_name(&name);
            if keys.len() > usize::from(limits.depth_max) {
                return Err(ParamsError::TooDeep);
            }
            params.insert(name, &keys, value.into_owned());
        }
        Ok(params)
    }

    /// The parameter of this name.
    pub fn get(&self, name: &str) -> Option<&Param> {
        self.0
            .iter()
            .find(|(own, _)| own == name)
            .map(|(_, param)| param)
    }

    /// The text of the parameter of this name, if it is text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.as_text()
    }

    /// All parameters.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Param)> {
        self.0.iter().map(|(name, param)| (name.as_str(), param))
    }

    fn insert(&mut self, name: &str, keys: &[&str], value: String) {
        let slot = match self.0.iter().position(|(own, _)| own == name) {
            Some(index) => &mut self.0[index].1,
            None => {
                self.0.push((name.to_owned(), Param::Text(String::new())));
                &mut self.0.last_mut().expect("one was just pushed").1
            }
        };
        slot.set(keys, value);
    }
}

impl Param {
    /// The text, if it is text.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Map(_) | Self::List(_) => None,
        }
    }

    /// The parameters inside, if there are.
    pub const fn as_map(&self) -> Option<&Params> {
        match self {
            Self::Map(params) => Some(params),
            Self::Text(_) | Self::List(_) => None,
        }
    }

    /// The list, if it is one.
    pub fn as_list(&self) -> Option<&[Self]> {
        match self {
            Self::List(list) => Some(list),
            Self::Text(_) | Self::Map(_) => None,
        }
    }

    /// Puts a value where the keys lead; what stood in the way in another shape is replaced.
    fn set(&mut self, keys: &[&str], value: String) {
        match keys {
            [] => *self = Self::Text(value),
            ["", inner @ ..] => {
                let mut item = Self::Text(String::new());
                item.set(inner, value);
                match self {
                    Self::List(list) => list.push(item),
                    Self::Text(_) | Self::Map(_) => *self = Self::List(vec![item]),
                }
            }
            [key, inner @ ..] => {
                if !matches!(self, Self::Map(_)) {
                    *self = Self::Map(Params::default());
                }
                if let Self::Map(params) = self {
                    params.insert(key, inner, value);
                }
            }
        }
    }
}

impl Default for ParamsLimits {
    fn default() -> Self {
        Self {
            pairs_max: 128,
            depth_max: 8,
        }
    }
}

/// `a[b][]` is the name `a` with the keys `b` and the empty one.
fn split_name(whole: &str) -> (&str, Vec<&str>) {
    let brackets = whole.split_once('[').and_then(|(name, rest)| {
        let keys = rest.strip_suffix(']')?;
        let keys: Vec<_> = keys.split("][").collect();
        let well_formed = !name.is_empty() && !keys.iter().any(|key| key.contains(['[', ']']));
        well_formed.then_some((name, keys))
    });
    brackets.unwrap_or((whole, Vec::new()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(query: &str) -> Params {
        Params::parse(query, &ParamsLimits::default()).unwrap()
    }

    #[test]
    fn names_and_values_are_decoded() {
        let params = params("token=a%20b+c&vsn=2.0.0&empty=&bare&%5Fcsrf_token=x");
        assert_eq!(params.text("token"), Some("a b c"));
        assert_eq!(params.text("vsn"), Some("2.0.0"));
        assert_eq!(params.text("empty"), Some(""));
        assert_eq!(params.text("bare"), Some(""));
        assert_eq!(params.text("_csrf_token"), Some("x"));
        assert_eq!(params.text("absent"), None);
    }

    #[test]
    fn brackets_nest() {
        let params = params("user[name]=Ann&user[address][city]=Bern&tags[]=a&tags[]=b&l[][x]=1");
        let user = params.get("user").and_then(Param::as_map).unwrap();
        assert_eq!(user.text("name"), Some("Ann"));
        let address = user.get("address").and_then(Param::as_map).unwrap();
        assert_eq!(address.text("city"), Some("Bern"));
        let tags = params.get("tags").and_then(Param::as_list).unwrap();
        assert_eq!(tags, [Param::Text("a".into()), Param::Text("b".into())]);
        let list = params.get("l").and_then(Param::as_list).unwrap();
        assert_eq!(list[0].as_map().unwrap().text("x"), Some("1"));
        assert_eq!(
            params.iter().map(|(name, _)| name).collect::<Vec<_>>(),
            ["user", "tags", "l"]
        );
    }

    #[test]
    fn the_last_of_equal_names_counts_whatever_its_shape() {
        assert_eq!(params("a=1&a=2").text("a"), Some("2"));
        assert_eq!(params("a[b]=1&a=2").text("a"), Some("2"));
        assert_eq!(
            params("a=1&a[b]=2")
                .get("a")
                .unwrap()
                .as_map()
                .unwrap()
                .text("b"),
            Some("2")
        );
        assert_eq!(
            params("a[b]=1&a[]=2")
                .get("a")
                .unwrap()
                .as_list()
                .unwrap()
                .len(),
            1
        );
    }

    #[test]
    fn brackets_that_do_not_close_are_part_of_the_name() {
        for name in ["a[b", "a]b", "[a]", "a[b]c", "a[b][c", "a[[b]]", "["] {
            let query = format!("{name}=1");
            assert_eq!(params(&query).text(name), Some("1"), "{name}");
        }
    }

    #[test]
    fn pairs_and_depth_are_bounded() {
        let limits = ParamsLimits {
            pairs_max: 2,
            depth_max: 1,
        };
        assert!(Params::parse("a=1&b=2", &limits).is_ok());
        assert_eq!(
            Params::parse("a=1&b=2&c=3", &limits),
            Err(ParamsError::TooMany)
        );
        assert!(Params::parse("a[b]=1", &limits).is_ok());
        assert_eq!(
            Params::parse("a[b][c]=1", &limits),
            Err(ParamsError::TooDeep)
        );
    }
}
