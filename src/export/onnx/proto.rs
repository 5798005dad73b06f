//! The part of Protocol Buffers that ONNX needs: a message is a sequence of fields, each with a key
//! (field number and wire type) and a value. Field numbers are those of `onnx.proto3`.

/// A message, or some of its fields.
#[derive(Clone, Default)]
pub(super) struct Message(Vec<u8>);

const VARINT: u32 = 0;
const LENGTH: u32 = 2;
const FOUR_BYTES: u32 = 5;

impl Message {
    /// An integer field.
    pub(super) fn int(mut self, field: u32, value: i64) -> Self {
        self.key(field, VARINT);
        self.varint(value as u64);
        self
    }

    /// A float32 field.
    pub(super) fn float(mut self, field: u32, value: f32) -> Self {
        self.key(field, FOUR_BYTES);
        self.0.extend(value.to_le_bytes());
        self
    }

    /// A field of bytes.
    pub(super) fn field(mut self, field: u32, bytes: &[u8]) -> Self {
        self.key(field, LENGTH);
        self.varint(bytes.len() as u64);
        self.0.extend(bytes);
        self
    }

    /// A field of text.
    pub(super) fn text(self, field: u32, text: &str) -> Self {
        self.field(field, text.as_bytes())
    }

    /// A field that is a message.
    pub(super) fn message(self, field: u32, message: &Self) -> Self {
        self.field(field, &message.0)
    }

    /// Appends the fields of another message.
    pub(super) fn with(mut self, fields: &Self) -> Self {
        self.0.extend(&fields.0);
        self
    }

    /// A message from its encoded bytes.
    pub(super) fn of(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The encoded message.
    pub(super) fn bytes(self) -> Vec<u8> {
        self.0
    }

    fn key(&mut self, field: u32, wire_type: u32) {
        self.varint(u64::from(field << 3 | wire_type));
    }

    /// Seven bits per byte, the lowest first; the eighth bit says whether more follow.
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_those_of_the_encoding_guide() {
        // The examples of protobuf.dev/programming-guides/encoding.
        assert_eq!(Message::default().int(1, 150).bytes(), [0x08, 0x96, 0x01]);
        let text = Message::default().text(2, "testing").bytes();
        assert_eq!(text, [&[0x12, 0x07][..], b"testing"].concat());
        let inner = Message::default().int(1, 150);
        let outer = Message::default().message(3, &inner).bytes();
        assert_eq!(outer, [0x1a, 0x03, 0x08, 0x96, 0x01]);
        let minus_two = Message::default().int(1, -2).bytes();
        assert_eq!(minus_two.len(), 11);
        assert_eq!(minus_two[1..3], [0xfe, 0xff]);
        let one = Message::default().float(2, 1.0).bytes();
        assert_eq!(one, [0x15, 0x00, 0x00, 0x80, 0x3f]);
    }
}
