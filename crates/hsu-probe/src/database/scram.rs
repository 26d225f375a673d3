//! SCRAM-SHA-256: a proof of a password that does not tell it.
// Source: RFC 5802 and RFC 7677. Passwords are taken as they are: one that SASLprep
// would change is refused by the server.

use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::{digest, hmac, pbkdf2};

use super::Trouble;

/// More rounds than this are a way to keep us busy.
const MOST_ROUNDS: u32 = 1_000_000;

/// A conversation under way.
pub(super) struct Scram {
    first: String,
    nonce: String,
}

impl Scram {
    /// Begins; `user` is empty where the server knows it already.
    pub(super) fn new(user: &str) -> Result<Self, Trouble> {
        let mut random = [0; 18];
        let filled = SystemRandom::new().fill(&mut random);
        filled.map_err(|_| Trouble::Unable("there are no random numbers".to_owned()))?;
        let nonce = STANDARD.encode(random);
        let user = user.replace('=', "=3D").replace(',', "=2C");
        Ok(Self { first: format!("n={user},r={nonce}"), nonce })
    }

    /// The first message.
    pub(super) fn first(&self) -> String {
        format!("n,,{}", self.first)
    }

    /// The last message, and the proof that the server must give.
    pub(super) fn last(&self, server: &str, password: &str) -> Result<(String, String), Trouble> {
        let odd = || Trouble::bad("the server does not speak SCRAM-SHA-256");
        let field = |name: &str| {
            let mut fields = server.split(',');
            fields.find_map(|field| field.strip_prefix(name)?.strip_prefix('='))
        };
        let nonce = field("r").filter(|nonce| nonce.starts_with(&self.nonce)).ok_or_else(odd)?;
        let salt = field("s").and_then(|salt| STANDARD.decode(salt).ok()).ok_or_else(odd)?;
        let rounds = field("i").and_then(|rounds| rounds.parse::<u32>().ok()).ok_or_else(odd)?;
        let rounds = NonZeroU32::new(rounds).filter(|r| r.get() <= MOST_ROUNDS).ok_or_else(odd)?;
        let mut salted = [0; digest::SHA256_OUTPUT_LEN];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, &salt, password.as_bytes(), &mut salted);
        let bare = format!("c=biws,r={nonce}");
        let all = format!("{},{server},{bare}", self.first);
        let client = sign(&salted, b"Client Key");
        let stored = digest::digest(&digest::SHA256, client.as_ref());
        let signature = sign(stored.as_ref(), all.as_bytes());
        let proof = client.as_ref().iter().zip(signature.as_ref()).map(|(one, two)| one ^ two);
        let proof = STANDARD.encode(proof.collect::<Vec<u8>>());
        let expected = sign(sign(&salted, b"Server Key").as_ref(), all.as_bytes());
        let expected = format!("v={}", STANDARD.encode(expected.as_ref()));
        Ok((format!("{bare},p={proof}"), expected))
    }
}

fn sign(key: &[u8], text: &[u8]) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_standard_comes_out() {
        let nonce = "rOprNGfwEbeRWgbNEkqO".to_owned();
        let scram = Scram { first: format!("n=user,r={nonce}"), nonce };
        let server = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                      s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let (last, expected) = scram.last(server, "pencil").unwrap();
        assert!(last.ends_with("p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="), "{last}");
        assert_eq!(expected, "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    }
}
