//! C2SP tlog-tiles: the paths and forms of the pieces of a log that is served or exported as files.

/// Path of a tile of hashes: `tile/<level>/<index>[.p/<width>]`; width 256 is a full tile.
pub fn hash_tile_path(level: u8, index: u64, width: u64) -> String {
    format!("tile/{level}/{}", tile_name(index, width))
}

/// Path of a bundle of entries: `tile/entries/<index>[.p/<width>]`.
pub fn entry_bundle_path(index: u64, width: u64) -> String {
    format!("tile/entries/{}", tile_name(index, width))
}

/// The index in groups of three digits, all but the last with an `x` in front: 1234067 is `x001/x234/067`.
fn tile_name(index: u64, width: u64) -> String {
    let mut name = format!("{:03}", index % 1000);
    let mut rest = index / 1000;
    while rest > 0 {
        name = format!("x{:03}/{name}", rest % 1000);
        rest /= 1000;
    }
    if width < super::merkle::TILE_WIDTH {
        name.push_str(&format!(".p/{width}"));
    }
    name
}

/// Appends an entry to a bundle: its length as 16 bits, big endian, then its bytes. `false` if it is too long.
#[must_use]
pub fn push_bundled(bundle: &mut Vec<u8>, entry: &[u8]) -> bool {
    let Ok(length) = u16::try_from(entry.len()) else { return false };
    bundle.extend(length.to_be_bytes());
    bundle.extend(entry);
    true
}

/// The entries of a bundle; `None` if it is cut off.
pub fn split_bundle(mut bundle: &[u8]) -> Option<Vec<&[u8]>> {
    let mut entries = Vec::new();
    while let Some((length, rest)) = bundle.split_first_chunk::<2>() {
        let (entry, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        entries.push(entry);
        bundle = rest;
    }
    bundle.is_empty().then_some(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_specification() {
        assert_eq!(hash_tile_path(0, 0, 256), "tile/0/000");
        assert_eq!(hash_tile_path(1, 1_234_067, 256), "tile/1/x001/x234/067");
        assert_eq!(hash_tile_path(0, 273, 112), "tile/0/273.p/112");
        assert_eq!(entry_bundle_path(1000, 1), "tile/entries/x001/000.p/1");
    }

    #[test]
    fn a_bundle_gives_back_its_entries_and_refuses_a_cut() {
        let mut bundle = Vec::new();
        for entry in [&b"one"[..], b"", b"three"] {
            assert!(push_bundled(&mut bundle, entry));
        }
        assert_eq!(split_bundle(&bundle), Some(vec![&b"one"[..], b"", b"three"]));
        for cut in 1..bundle.len() {
            let whole = [5, 7].contains(&cut);
            assert_eq!(split_bundle(&bundle[..cut]).is_some(), whole, "cut at {cut}");
        }
        assert!(!push_bundled(&mut bundle, &[0; 65_536]));
    }
}
