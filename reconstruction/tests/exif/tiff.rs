//! Writes EXIF data.

/// A value of a tag.
#[derive(Debug, Clone, Copy)]
pub enum Value {
    Short(u16),
    Long(u32),
    Rational(u32, u32),
    Text(&'static str),
}

/// A tag with its value.
pub type Tag = (u16, Value);

/// The order of the bytes of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByteOrder {
    Big,
    Little,
}

/// EXIF data with tags in the main directory and in the one for the camera.
pub fn exif(order: ByteOrder, main: &[Tag], camera: &[Tag]) -> Vec<u8> {
    let mut writer = Writer {
        bytes: Vec::new(),
        order,
    };
    writer.bytes.extend(match order {
        ByteOrder::Big => b"MM\0*",
        ByteOrder::Little => b"II*\0",
    });
    writer.long(8);
    // Two bytes of count, the tags and the pointer, four bytes for the next directory.
    let end = 8 + 2 + 12 * (main.len() + 1) + 4;
    let long_values: usize = main.iter().map(|(_, value)| value.long_bytes()).sum();
    let pointer = (0x8769, Value::Long((end + long_values) as u32));
    writer.directory(&[main, &[pointer]].concat());
    assert_eq!(writer.bytes.len(), end + long_values);
    writer.directory(camera);
    writer.bytes
}

impl Value {
    /// Bytes outside the entry.
    fn long_bytes(self) -> usize {
        match self {
            Value::Short(_) | Value::Long(_) => 0,
            Value::Rational(..) => 8,
            Value::Text(text) if text.len() < 4 => 0,
            Value::Text(text) => text.len() + 1,
        }
    }
}

struct Writer {
    bytes: Vec<u8>,
    order: ByteOrder,
}

impl Writer {
    fn directory(&mut self, tags: &[Tag]) {
        let mut long_value = self.bytes.len() + 2 + 12 * tags.len() + 4;
        self.short(tags.len() as u16);
        for &(tag, value) in tags {
            self.short(tag);
            match value {
                Value::Short(number) => {
                    self.head(3, 1);
                    self.short(number);
                    self.short(0);
                }
                Value::Long(number) => {
                    self.head(4, 1);
                    self.long(number);
                }
                Value::Rational(..) => {
                    self.head(5, 1);
                    self.long(long_value as u32);
                }
                Value::Text(text) => {
                    self.head(2, text.len() as u32 + 1);
                    if text.len() < 4 {
                        let mut inline = [0; 4];
                        inline[..text.len()].copy_from_slice(text.as_bytes());
                        self.bytes.extend(inline);
                    } else {
                        self.long(long_value as u32);
                    }
                }
            }
            long_value += value.long_bytes();
        }
        self.long(0);
        for &(_, value) in tags {
            match value {
                Value::Rational(numerator, denominator) => {
                    self.long(numerator);
                    self.long(denominator);
                }
                Value::Text(text) if value.long_bytes() > 0 => {
                    self.bytes.extend(text.as_bytes());
                    self.bytes.push(0);
                }
                _ => {}
            }
        }
    }

    fn head(&mut self, kind: u16, count: u32) {
        self.short(kind);
        self.long(count);
    }

    fn short(&mut self, number: u16) {
        self.bytes.extend(match self.order {
            ByteOrder::Big => number.to_be_bytes(),
            ByteOrder::Little => number.to_le_bytes(),
        });
    }

    fn long(&mut self, number: u32) {
        self.bytes.extend(match self.order {
            ByteOrder::Big => number.to_be_bytes(),
            ByteOrder::Little => number.to_le_bytes(),
        });
    }
}
