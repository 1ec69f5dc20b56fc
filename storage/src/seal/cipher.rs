//! The cipher of sealed records, and what takes its place in one build that measures what sealing costs.
//!
//! The feature `pass-through-cipher` builds a program that encrypts and authenticates **nothing**, for `tests/benches/sealing`
//! alone. It does not compile unless the variable `VEDDB_SEALING_BENCH` is set meanwhile; it says what it is in its log and in
//! INFO; and its records have a version of their own, so that no other program opens its files and it opens no others.

pub(super) use imp::{NAME, VERSION, decrypt, encrypt, nonce};

/// Bytes of a nonce.
pub(super) const NONCE: usize = 24;

#[cfg(not(feature = "pass-through-cipher"))]
mod imp {
    use chacha20poly1305::aead::AeadInOut;
    use chacha20poly1305::{Tag, XChaCha20Poly1305, XNonce};

    use super::NONCE;

    /// The version of a record.
    pub(crate) const VERSION: u8 = 1;
    pub(crate) const NAME: &str = "XChaCha20-Poly1305";

    pub(crate) fn nonce() -> [u8; NONCE] {
        super::super::random()
    }

    pub(crate) fn encrypt(cipher: &XChaCha20Poly1305, nonce: [u8; NONCE], bound: &[u8], body: &mut [u8]) -> Tag {
        cipher
            .encrypt_inout_detached(&XNonce::from(nonce), bound, body.into())
            .expect("only more than 256 GiB are too long for the cipher, and no buffer is")
    }

    /// False: it is not what was sealed.
    pub(crate) fn decrypt(
        cipher: &XChaCha20Poly1305,
        nonce: [u8; NONCE],
        bound: &[u8],
        body: &mut [u8],
        tag: Tag,
    ) -> bool {
        cipher.decrypt_inout_detached(&XNonce::from(nonce), bound, body.into(), &tag).is_ok()
    }
}

#[cfg(feature = "pass-through-cipher")]
mod imp {
    use chacha20poly1305::{Tag, XChaCha20Poly1305};

    use super::NONCE;

    const _: () = assert!(
        option_env!("VEDDB_SEALING_BENCH").is_some(),
        "pass-through-cipher stores everything in the clear: it is for tests/benches/sealing alone"
    );

    pub(crate) const VERSION: u8 = 255;
    pub(crate) const NAME: &str = "NONE, nothing is encrypted";

    pub(crate) fn nonce() -> [u8; NONCE] {
        [0; NONCE]
    }

    pub(crate) fn encrypt(_: &XChaCha20Poly1305, _: [u8; NONCE], _: &[u8], _: &mut [u8]) -> Tag {
        Tag::default()
    }

    pub(crate) fn decrypt(_: &XChaCha20Poly1305, _: [u8; NONCE], _: &[u8], _: &mut [u8], _: Tag) -> bool {
        true
    }
}
