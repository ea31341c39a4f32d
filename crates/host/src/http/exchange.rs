//! One question and its answer.

use std::ops::Range;

use ureq::{
    Agent, BodyReader,
    http::{HeaderMap, header},
};

use super::{Address, HttpError};

/// What tells that two answers are about the same bytes: a strong `ETag`, else a date.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Validator(String);

/// An answer with bytes.
pub(super) struct Answer {
    /// Which part of the whole it is; `None` for the whole.
    pub(super) part: Option<Range<u64>>,
    /// How many bytes the whole has, where it is known.
    pub(super) whole_bytes: Option<u64>,
    pub(super) validator: Option<Validator>,
    pub(super) body: BodyReader<'static>,
}

/// Bytes that are asked for, and what they must still be a part of.
pub(super) type Wish<'a> = (Range<u64>, Option<&'a Validator>);

impl Answer {
    /// Asks for the whole, or for a part. A server may answer with the whole all the same.
    pub(super) fn ask(
        agent: &Agent,
        address: &Address,
        wish: Option<&Wish<'_>>,
    ) -> Result<Self, HttpError> {
        // A secure address never leads to one that is not.
        let mut request =
            agent.get(address.as_str()).config().https_only(address.is_secure()).build();
        request = request.header(header::ACCEPT_ENCODING, "identity");
        if let Some((range, validator)) = wish {
            // What is cut off the end of the range by the end of the file is the server's to do.
            let last = range.end.saturating_sub(1);
            request = request.header(header::RANGE, format!("bytes={}-{last}", range.start));
            if let Some(Validator(text)) = validator {
                request = request.header(header::IF_RANGE, text);
            }
        }
        let shown = address.to_string();
        let answer = request.call().map_err(|error| {
            HttpError::unreachable(format!("cannot get {shown}")).caused_by(error)
        })?;
        let status = answer.status().as_u16();
        let (parts, body) = answer.into_parts();
        let content = body.content_length();
        let (part, whole_bytes) = match status {
            200 => (None, content),
            206 => {
                let (range, whole) = content_range(&parts.headers).ok_or_else(|| {
                    HttpError::unreachable(format!("{shown}: a part without a place"))
                })?;
                (Some(range), Some(whole))
            }
            other => return Err(HttpError::status(&shown, other)),
        };
        let encoded = parts.headers.get(header::CONTENT_ENCODING);
        if encoded.is_some_and(|encoding| encoding != "identity") {
            return Err(HttpError::unreachable(format!("{shown}: the server packs what it sends")));
        }
        let validator = validator(&parts.headers);
        let body = body.into_with_config().limit(u64::MAX).reader();
        Ok(Self { part, whole_bytes, validator, body })
    }
}

/// `bytes 0-9/100`: which part, of how many bytes.
fn content_range(headers: &HeaderMap) -> Option<(Range<u64>, u64)> {
    let text = headers.get(header::CONTENT_RANGE)?.to_str().ok()?;
    let (part, whole) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = part.split_once('-')?;
    let (first, last, whole) =
        (first.parse::<u64>().ok()?, last.parse::<u64>().ok()?, whole.parse::<u64>().ok()?);
    (first <= last && last < whole).then(|| (first..last + 1, whole))
}

fn validator(headers: &HeaderMap) -> Option<Validator> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let strong = text(header::ETAG).filter(|tag| tag.starts_with('"'));
    strong.or_else(|| text(header::LAST_MODIFIED)).map(|text| Validator(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().unwrap())])
    }

    #[test]
    fn the_place_of_a_part_must_be_inside_the_whole() {
        let read = |text| content_range(&headers(header::CONTENT_RANGE, text));
        assert_eq!(read("bytes 0-9/100"), Some((0..10, 100)));
        assert_eq!(read("bytes 99-99/100"), Some((99..100, 100)));
        for bad in ["bytes 9-0/100", "bytes 0-100/100", "bytes */100", "bytes 0-9/*", "0-9/100", ""]
        {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_weak_tag_says_nothing_about_bytes() {
        let read = |name, text| validator(&headers(name, text)).map(|validator| validator.0);
        assert_eq!(read(header::ETAG, "\"a\""), Some("\"a\"".to_owned()));
        assert_eq!(read(header::ETAG, "W/\"a\""), None);
        let date = "Fri, 20 Nov 2026 10:00:00 GMT";
        assert_eq!(read(header::LAST_MODIFIED, date), Some(date.to_owned()));
    }
}
