//! The token of a page: its number with a proof that only this gateway can make. Whoever has one got the page's message.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use ring::hmac;

/// Octets of a token's proof: enough that nobody guesses one, few enough for a short message.
const PROOF: usize = 10;

/// Makes and checks tokens.
#[derive(Clone, Debug)]
pub struct PageTokens {
    key: hmac::Key,
}

impl PageTokens {
    /// With a secret of at least 32 octets, the same as long as tokens are to be believed.
    pub fn new(secret: &[u8]) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, secret) }
    }

    /// The token of a page.
    pub fn of(&self, page: u64) -> String {
        let number = page.to_be_bytes();
        let proof = hmac::sign(&self.key, &number);
        let mut bytes: Vec<u8> = number.into_iter().skip_while(|b| *b == 0).collect();
        bytes.extend(&proof.as_ref()[..PROOF]);
        BASE64.encode(bytes)
    }

    /// The page of a token; none if this gateway did not make it.
    pub fn page(&self, token: &str) -> Option<u64> {
        let bytes = BASE64.decode(token.trim()).ok().filter(|b| (PROOF + 1..=PROOF + 8).contains(&b.len()))?;
        let (number, proof) = bytes.split_at(bytes.len() - PROOF);
        let page = number.iter().fold(0u64, |n, b| n << 8 | u64::from(*b));
        let right = hmac::sign(&self.key, &page.to_be_bytes());
        // In constant time: every octet is compared, whatever the first of them says.
        let differs = right.as_ref()[..PROOF].iter().zip(proof).fold(0u8, |d, (a, b)| d | (a ^ b));
        (differs == 0).then_some(page)
    }
}

/// Tokens that nobody outside can know: for plans without pages, and for tests.
impl Default for PageTokens {
    fn default() -> Self {
        Self::new(&[0; 32])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_proves_its_page_and_no_other() {
        let tokens = PageTokens::new(&[7; 32]);
        for page in [1, 255, 256, u64::MAX] {
            let token = tokens.of(page);
            assert_eq!(tokens.page(&token), Some(page));
            assert_eq!(PageTokens::new(&[8; 32]).page(&token), None, "another gateway's");
            let mut forged = token.into_bytes();
            forged[0] = if forged[0] == b'A' { b'B' } else { b'A' };
            assert_eq!(tokens.page(&String::from_utf8(forged).unwrap()), None);
        }
        for garbage in ["", "A", "not base64!", &"A".repeat(200)] {
            assert_eq!(tokens.page(garbage), None, "{garbage}");
        }
    }
}
