//! Counts what the container of a file lists, before it is read.
//!
//! The reader of the container keeps all entries, some of which take no bytes in the file, and looks through
//! them again and again: a file of some megabytes would take gigabytes and hours.

use heic_rs::boxes::{BoxHeader, BoxIter};
use heic_rs::{Error, Result};

/// Most items, places and properties each. A photo of 48 megapixels has about 300, with all of its tiles.
const MAX_ENTRIES: usize = 2048;
/// Most references between items, and properties of items. That photo has about 1500.
const MAX_LINKS: usize = 16 << 10;
/// Most bytes of a property, but for a colour profile.
const MAX_PROPERTY: usize = 16 << 10;

/// What a container lists.
#[derive(Debug, Default)]
pub(super) struct Entries {
    items: usize,
    places: usize,
    references: usize,
    properties: usize,
    /// Items that have properties.
    owners: usize,
    /// Items that are referred to, and properties that items have.
    links: usize,
}

impl Entries {
    /// Counts the entries of a file.
    ///
    /// # Errors
    /// If there are too many, or a part of an item is not in the file.
    pub fn count(file: &[u8]) -> Result<Self> {
        let meta = BoxIter::new(file).require(b"meta", "meta")?;
        let (_, _, reader) = meta.full_box("meta")?;
        let mut entries = Self::default();
        for part in BoxIter::new(reader.rest()) {
            let part = part?;
            match &part.boxtype {
                b"iinf" => entries.count_items(&part)?,
                b"iloc" => entries.count_places(&part, file.len())?,
                b"iref" => entries.count_references(&part)?,
                b"iprp" => entries.count_properties(&part)?,
                _ => {}
            }
        }
        Ok(entries)
    }

    /// The most memory that the reader takes for them, in bytes.
    pub fn bytes(&self) -> u64 {
        // An entry has up to 112 bytes. A list that grows is there twice, and its new part half empty.
        let entries = self.items + self.places + self.references + self.properties + self.owners;
        (320 * entries + 16 * self.links) as u64
    }

    fn count_items(&mut self, part: &BoxHeader<'_>) -> Result<()> {
        let (version, _, mut reader) = part.full_box("iinf")?;
        let announced = match version {
            0 => usize::from(reader.u16("iinf")?),
            _ => reader.u32("iinf")? as usize,
        };
        // The reader takes room for those that are announced.
        let listed = BoxIter::new(reader.rest()).take(MAX_ENTRIES + 1).count();
        add(&mut self.items, announced.max(listed), MAX_ENTRIES)
    }

    /// Counts where items are. The parts of an item must not lie in another one: reading it would read that
    /// one again for each part.
    fn count_places(&mut self, part: &BoxHeader<'_>, file: usize) -> Result<()> {
        let (version, _, mut reader) = part.full_box("iloc")?;
        let sizes = [reader.u8("iloc")?, reader.u8("iloc")?];
        let (offset, length) = (sizes[0] >> 4, sizes[0] & 15);
        let (base, index) = (sizes[1] >> 4, if version >= 1 { sizes[1] & 15 } else { 0 });
        let items = match version {
            0 | 1 => u32::from(reader.u16("iloc")?),
            _ => reader.u32("iloc")?,
        };
        for _ in 0..items {
            reader.skip(if version < 2 { 2 } else { 4 }, "iloc")?;
            let method = match version {
                0 => 0,
                _ => reader.u16("iloc")? & 15,
            };
            if method > 1 {
                return Err(Error::Unsupported("items that are parts of other items"));
            }
            reader.skip(2, "iloc")?;
            let base = reader.uint(base, "iloc")?;
            let extents = usize::from(reader.u16("iloc")?);
            add(&mut self.places, 1 + extents, MAX_ENTRIES)?;
            for _ in 0..extents {
                reader.uint(index, "iloc")?;
                let start = base.checked_add(reader.uint(offset, "iloc")?);
                let length = reader.uint(length, "iloc")?;
                let end = start.and_then(|start| start.checked_add(length));
                if method == 0 && end.is_none_or(|end| end > file as u64) {
                    return Err(Error::Truncated("an item"));
                }
            }
        }
        Ok(())
    }

    fn count_references(&mut self, part: &BoxHeader<'_>) -> Result<()> {
        let (version, _, reader) = part.full_box("iref")?;
        for reference in BoxIter::new(reader.rest()) {
            let mut reader = reference?.reader();
            reader.skip(if version == 0 { 2 } else { 4 }, "iref")?;
            add(&mut self.references, 1, MAX_ENTRIES)?;
            add(&mut self.links, usize::from(reader.u16("iref")?), MAX_LINKS)?;
        }
        Ok(())
    }

    fn count_properties(&mut self, part: &BoxHeader<'_>) -> Result<()> {
        for list in part.children() {
            let list = list?;
            if list.is(b"ipco") {
                for property in list.children() {
                    let property = property?;
                    add(&mut self.properties, 1, MAX_ENTRIES)?;
                    if property.payload.len() > MAX_PROPERTY && !property.is(b"colr") {
                        return Err(Error::Unsupported("a property of so many bytes"));
                    }
                }
            } else if list.is(b"ipma") {
                self.count_owners(&list)?;
            }
        }
        Ok(())
    }

    fn count_owners(&mut self, part: &BoxHeader<'_>) -> Result<()> {
        let (version, flags, mut reader) = part.full_box("ipma")?;
        let link = if flags & 1 == 0 { 1 } else { 2 };
        for _ in 0..reader.u32("ipma")? {
            reader.skip(if version < 1 { 2 } else { 4 }, "ipma")?;
            let links = usize::from(reader.u8("ipma")?);
            reader.skip(links * link, "ipma")?;
            add(&mut self.owners, 1, MAX_ENTRIES)?;
            add(&mut self.links, links, MAX_LINKS)?;
        }
        Ok(())
    }
}

fn add(count: &mut usize, more: usize, most: usize) -> Result<()> {
    *count = count.saturating_add(more);
    if *count > most {
        return Err(Error::Unsupported("a container of so many items"));
    }
    Ok(())
}
