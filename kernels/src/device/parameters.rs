//! Parameters of kernels: plain structs that C++ reads as its own.
//!
//! A struct is written field by field by the rules of C: each field at a multiple of its alignment,
//! the whole a multiple of the largest. So no padding byte is ever read, and no `unsafe` is needed.

use super::backend::Address;

/// Types that C++ can read.
pub(crate) trait Plain {
    const ALIGN: usize;
    fn write(&self, bytes: &mut Vec<u8>);
}

/// Pads to a multiple of `align`.
pub(crate) fn pad(bytes: &mut Vec<u8>, align: usize) {
    bytes.resize(bytes.len().next_multiple_of(align), 0);
}

macro_rules! numbers {
    ($($number:ty),*) => { $(
        impl Plain for $number {
            const ALIGN: usize = size_of::<$number>();
            fn write(&self, bytes: &mut Vec<u8>) {
                bytes.extend(self.to_ne_bytes());
            }
        }
    )* };
}
numbers!(u32, i32, f32, u64, f64);

impl Plain for Address {
    const ALIGN: usize = 8;
    fn write(&self, bytes: &mut Vec<u8>) {
        self.0.write(bytes);
    }
}

/// The twin of a C++ struct: the same fields in the same order.
macro_rules! parameters {
    ($(#[$about:meta])* $name:ident { $($(#[$note:meta])* $field:ident: $kind:ty,)* }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug)]
        pub(crate) struct $name {
            $($(#[$note])* pub(crate) $field: $kind,)*
        }

        impl $crate::device::parameters::Plain for $name {
            const ALIGN: usize = {
                let mut largest = 1;
                $(
                    let align = <$kind as $crate::device::parameters::Plain>::ALIGN;
                    if align > largest {
                        largest = align;
                    }
                )*
                largest
            };

            fn write(&self, bytes: &mut Vec<u8>) {
                use $crate::device::parameters::{Plain, pad};
                $(
                    pad(bytes, <$kind as Plain>::ALIGN);
                    self.$field.write(bytes);
                )*
                pad(bytes, Self::ALIGN);
            }
        }
    };
}
pub(crate) use parameters;

parameters! {
    /// See `device.h`.
    Numbers {
        at: Address,
        are_halves: i32,
    }
}

impl Numbers {
    /// Numbers of f32.
    pub(crate) fn floats(at: Address) -> Self {
        Self { at, are_halves: 0 }
    }

    /// Words that this many take.
    pub(crate) fn words(self, count: usize) -> usize {
        if self.are_halves == 0 {
            count
        } else {
            count.div_ceil(2)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    parameters! {
        /// Inside.
        Inner {
            number: u64,
            small: u32,
        }
    }
    parameters! {
        /// Outside.
        Outer {
            first: i32,
            inner: Inner,
            last: f32,
            address: Address,
        }
    }

    #[test]
    fn fields_lie_where_c_puts_them() {
        let inner = Inner {
            number: 2,
            small: 3,
        };
        let outer = Outer {
            first: 1,
            inner,
            last: 0.0,
            address: Address(5),
        };
        let mut bytes = Vec::new();
        outer.write(&mut bytes);
        let at = |place: usize| bytes[place];
        assert_eq!((at(0), at(8), at(16), at(32)), (1, 2, 3, 5));
        assert_eq!(bytes.len(), 40);
    }
}
