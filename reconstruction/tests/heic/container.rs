//! Writes containers with whatever is asked for.

/// A number with so many bits.
fn push(bits: &mut Vec<bool>, number: u32, count: u32) {
    bits.extend((0..count).rev().map(|bit| number >> bit & 1 != 0));
}

/// A number in the code of Golomb.
fn golomb(bits: &mut Vec<bool>, number: u32) {
    let length = 32 - (number + 1).leading_zeros();
    push(bits, 0, length - 1);
    push(bits, number + 1, length);
}

/// A sequence parameter set (ITU-T H.265, 7.3.2.2) of a picture, of which so many pixels at the right and at
/// the bottom are cropped.
pub fn sequence(width: u32, height: u32, right: u32, bottom: u32) -> Vec<u8> {
    let mut bits = Vec::new();
    push(&mut bits, 1, 8);
    // Profile and level.
    bits.extend([false; 96]);
    for number in [0, 1, width, height] {
        golomb(&mut bits, number);
    }
    push(&mut bits, 1, 1);
    for number in [0, right / 2, 0, bottom / 2] {
        golomb(&mut bits, number);
    }
    // Depths, numbers of pictures, and blocks of 8 to 64 pixels.
    for number in [0, 0, 0] {
        golomb(&mut bits, number);
    }
    push(&mut bits, 1, 1);
    for number in [0, 0, 0, 0, 3, 0, 3, 0, 0] {
        golomb(&mut bits, number);
    }
    // No tools, no references, nothing else.
    push(&mut bits, 0, 4);
    golomb(&mut bits, 0);
    push(&mut bits, 0, 5);
    push(&mut bits, 1, 1);
    let bytes = bits.chunks(8).map(|bits| {
        let bits = bits.iter().enumerate();
        bits.fold(0, |byte, (at, bit)| byte | u8::from(*bit) << (7 - at))
    });
    let mut unit = vec![33 << 1, 1];
    for byte in bytes {
        // What looks like the start of a unit is escaped.
        if byte <= 3 && unit.ends_with(&[0, 0]) {
            unit.push(3);
        }
        unit.push(byte);
    }
    unit
}

pub fn boxed(name: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let length = (content.len() as u32 + 8).to_be_bytes();
    [&length[..], name, content].concat()
}

/// A box with a version.
pub fn full(name: &[u8; 4], version: u8, content: &[u8]) -> Vec<u8> {
    boxed(name, &[&[version, 0, 0, 0], content].concat())
}

/// How a picture is coded, with these sets of parameters.
pub fn config(sets: &[Vec<u8>]) -> Vec<u8> {
    let mut content = vec![1; 21];
    // Lengths of units have four bytes, and there is one list.
    content.extend([0xff, 1, 33]);
    content.extend((sets.len() as u16).to_be_bytes());
    for set in sets {
        content.extend((set.len() as u16).to_be_bytes());
        content.extend(set);
    }
    boxed(b"hvcC", &content)
}

pub fn size(width: u32, height: u32) -> Vec<u8> {
    full(
        b"ispe",
        0,
        &[width.to_be_bytes(), height.to_be_bytes()].concat(),
    )
}

/// A coded picture of units with this content.
pub fn units(contents: &[Vec<u8>]) -> Vec<u8> {
    let units = contents.iter().map(|unit| {
        let length = (unit.len() as u32).to_be_bytes();
        [&length[..], unit].concat()
    });
    units.collect::<Vec<_>>().concat()
}

/// A container of one picture, or of a grid that uses one tile again and again.
#[derive(Default)]
pub struct Container {
    /// Columns, rows, width and height.
    pub grid: Option<(u16, u16, u32, u32)>,
    /// Properties of the picture or of the tile.
    pub properties: Vec<Vec<u8>>,
    /// How often the picture has the first property beside all.
    pub repeated: usize,
    /// What the picture or the tile is coded to.
    pub data: Vec<u8>,
    /// Instead of the list of places.
    pub places: Option<Vec<u8>>,
    /// Instead of the list of owners of properties.
    pub owners: Option<Vec<u8>>,
}

impl Container {
    /// The file. Item 1 is the picture or the tile, item 2 the grid.
    pub fn file(&self) -> Vec<u8> {
        let item = |id: u16, kind: &[u8]| {
            let content = [&id.to_be_bytes()[..], &[0, 0], kind, &[0]].concat();
            full(b"infe", 2, &content)
        };
        let mut items = vec![item(1, b"hvc1")];
        let (mut references, mut grid) = (Vec::new(), Vec::new());
        if let Some((columns, rows, width, height)) = self.grid {
            items.push(item(2, b"grid"));
            let count = columns * rows;
            let mut content = [2_u16.to_be_bytes(), count.to_be_bytes()].concat();
            content.extend([0, 1].repeat(usize::from(count)));
            references = full(b"iref", 0, &boxed(b"dimg", &content));
            grid = vec![0, 1, (rows - 1) as u8, (columns - 1) as u8];
            grid.extend([width.to_be_bytes(), height.to_be_bytes()].concat());
        }
        let count = items.len() as u16;
        let mut owners = [0, 0, 0, 1, 0, 1].to_vec();
        owners.push((self.properties.len() + self.repeated) as u8);
        owners.extend(1..=self.properties.len() as u8);
        owners.extend(vec![1; self.repeated]);
        let owners = self.owners.clone().unwrap_or(owners);
        let contents = |start: u32| {
            let mut places = vec![0x44, 0];
            places.extend(count.to_be_bytes());
            let mut place = |id: u16, method: u16, start: u32, length: usize| {
                let numbers = [id, method, 0, 1];
                places.extend(numbers.iter().flat_map(|number| number.to_be_bytes()));
                places.extend([start.to_be_bytes(), (length as u32).to_be_bytes()].concat());
            };
            place(1, 0, start, self.data.len());
            if !grid.is_empty() {
                place(2, 1, 0, grid.len());
            }
            let places = self.places.clone().unwrap_or(places);
            let listed = [&count.to_be_bytes()[..], &items.concat()].concat();
            let properties = boxed(b"ipco", &self.properties.concat());
            let owned = full(b"ipma", 0, &owners);
            [
                full(b"hdlr", 0, b"\0\0\0\0pict\0\0\0\0\0\0\0\0\0\0\0\0\0"),
                full(b"pitm", 0, &count.to_be_bytes()),
                full(b"iinf", 0, &listed),
                full(b"iloc", 1, &places),
                references.clone(),
                boxed(b"iprp", &[properties, owned].concat()),
                boxed(b"idat", &grid),
            ]
            .concat()
        };
        let brands = boxed(b"ftyp", b"heic\0\0\0\0mif1heic");
        let before = brands.len() + full(b"meta", 0, &contents(0)).len() + 8;
        let meta = full(b"meta", 0, &contents(before as u32));
        [brands, meta, boxed(b"mdat", &self.data)].concat()
    }
}
