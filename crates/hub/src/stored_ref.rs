//! A ref that is kept: in place when it is short, as Phoenix clients' are.

use proto::phoenix::{Ref, RefShape};

/// An optional ref in 16 bytes; up to 14 bytes of text own no memory.
#[derive(Debug)]
pub(crate) enum StoredRef {
    /// The client gave none.
    Null,
    /// A short string. Invariant: the first `len` bytes are UTF-8.
    String { len: u8, bytes: [u8; INLINE_BYTES] },
    /// A short value that is no string. Invariant: as above.
    Other { len: u8, bytes: [u8; INLINE_BYTES] },
    /// Anything longer.
    Long(Box<Ref<'static>>),
}

impl StoredRef {
    pub(crate) fn new(reference: Option<&Ref<'_>>) -> Self {
        let Some(reference) = reference else {
            return Self::Null;
        };
        let text = reference.text().as_bytes();
        let mut bytes = [0; INLINE_BYTES];
        let Some(inline) = bytes.get_mut(..text.len()) else {
            return Self::Long(Box::new(reference.clone().into_owned()));
        };
        inline.copy_from_slice(text);
        let len = text.len() as u8;
        match reference.shape() {
            RefShape::String => Self::String { len, bytes },
            RefShape::Other => Self::Other { len, bytes },
        }
    }

    pub(crate) fn as_ref(&self) -> Option<Ref<'_>> {
        let (shape, len, bytes) = match self {
            Self::Null => return None,
            Self::String { len, bytes } => (RefShape::String, len, bytes),
            Self::Other { len, bytes } => (RefShape::Other, len, bytes),
            Self::Long(reference) => return Some(reference.borrowed()),
        };
        let text = str::from_utf8(&bytes[..usize::from(*len)])
            .expect("the bytes were a whole str when they were stored");
        Some(Ref::from_parts(shape, text))
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        match self {
            Self::Null | Self::String { .. } | Self::Other { .. } => 0,
            Self::Long(reference) => size_of::<Ref<'static>>() + reference.text().len(),
        }
    }
}

const INLINE_BYTES: usize = 14;

const _: () = assert!(size_of::<StoredRef>() == 16);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_long_refs_own_memory() {
        let stored = |text| StoredRef::new(Some(&Ref::string(text)));
        assert_eq!(stored("12345678901234").heap_bytes(), 0);
        assert!(stored("123456789012345").heap_bytes() > 0);
        assert!(StoredRef::new(None).as_ref().is_none());
    }

    proptest! {
        #[test]
        fn a_ref_comes_back_as_it_went_in(text in ".{0,20}", string in any::<bool>()) {
            let number = text.len().to_string();
            let reference = if string {
                Ref::string(&text)
            } else {
                Ref::from_parts(RefShape::Other, &number)
            };
            let stored = StoredRef::new(Some(&reference));
            prop_assert_eq!(stored.as_ref(), Some(reference));
        }
    }
}
