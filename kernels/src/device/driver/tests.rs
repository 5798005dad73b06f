//! The driver layer on the fake driver of `emulator/driver/`, and what that refuses, as a driver
//! does.
#![expect(unsafe_code, reason = "calls the fake driver")]

use std::collections::BTreeMap;
use std::ffi::{c_int, c_uint, c_void};
use std::mem::ManuallyDrop;
use std::path::Path;
use std::ptr::{null, null_mut};

use libloading::Library;

use super::cuda::Cuda;
use super::interface::{ERROR_LOG, Handle, Interface, NON_BLOCKING, Status, THREAD_LOCAL};
use crate::device::backend::{Address, Backend, Error, Launch, THREADS};
use crate::device::emulated::Emulated;
use crate::device::parameters::Numbers;
use crate::device::tests::{fake_driver, put, put_words, take, unwritten};
use crate::device::transfer;
use crate::dropout::cuda::Drop;
use crate::layer_norm::cuda::Norm;
use crate::linear::cuda::{Finish, Matrix, Sizes, Storage, input_gradient};
use crate::precision::Precision;
use crate::testing::numbers;

/// A device of the fake driver; none without g++.
pub(crate) fn fake() -> Option<Cuda> {
    let driver = Box::leak(Box::new(start(fake_driver()?)));
    Some(Cuda::on(driver, 0).unwrap())
}

fn start(path: &Path) -> Interface {
    // SAFETY: the library has no initialisers of its own.
    let library = unsafe { Library::new(path) }.unwrap();
    Interface::start(&ManuallyDrop::new(library)).unwrap()
}

/// A norm of 6 rows; its result is at the second address.
fn norm(backend: &mut dyn Backend) -> (Launch, Address) {
    let (rows, width) = (6, 40);
    let y = unwritten(backend, rows * width);
    let norm = Norm {
        x: put(backend, &numbers(1, rows * width)),
        gain: put(backend, &numbers(2, width)),
        bias: put(backend, &numbers(3, width)),
        y: Numbers::floats(y),
        statistics: unwritten(backend, 2 * rows),
        drop: Drop::NONE,
        rows: rows as i32,
        width: width as i32,
    };
    (norm.launch(), y)
}

#[test]
fn launches_and_graphs_give_the_bits_of_the_emulator() {
    let (Some(path), Some(mut cuda)) = (fake_driver(), fake()) else {
        return;
    };
    let mut emulated = Emulated::load(path).unwrap();
    let (launch, y) = norm(&mut emulated);
    emulated.launch(&launch).unwrap();
    let expected = take(&mut emulated, y, 240);
    let (launch, y) = norm(&mut cuda);
    cuda.launch(&launch).unwrap();
    assert_eq!(take(&mut cuda, y, 240), expected);
    let (launch, y) = norm(&mut cuda);
    let graph = cuda.capture(&[launch]).unwrap();
    assert!(
        take(&mut cuda, y, 240)[0].is_nan(),
        "a capture runs nothing"
    );
    cuda.replay(graph).unwrap();
    assert_eq!(take(&mut cuda, y, 240), expected);
}

/// A product of 70 x 256 in a tile that needs dynamic shared memory; its result is at the second
/// address.
fn product(backend: &mut dyn Backend) -> (Launch, Address) {
    let sizes = Sizes {
        rows: 70,
        columns: 256,
        depth: 64,
    };
    let mut factor = |seed, rows: usize| {
        let halves = transfer::rounded(&numbers(seed, rows * sizes.depth));
        Matrix::new(put_words(backend, &halves), sizes.depth).stored(Storage::Halves)
    };
    let factors = (factor(1, sizes.rows), factor(2, sizes.columns));
    let to = unwritten(backend, sizes.rows * sizes.columns);
    let bias = Address::NULL;
    let at = (to, sizes.columns);
    let gradient = input_gradient(Precision::Bf16, sizes, factors, Finish::Store { bias }, at);
    (gradient.enlarged(true), to)
}

#[test]
fn dynamic_shared_memory_is_asked_for_before_a_kernel_has_it() {
    let (Some(path), Some(mut cuda)) = (fake_driver(), fake()) else {
        return;
    };
    let mut emulated = Emulated::load(path).unwrap();
    let (launch, to) = product(&mut emulated);
    let count = 70 * 256;
    emulated.launch(&launch).unwrap();
    let expected = take(&mut emulated, to, count);
    assert!(expected.iter().all(|x| x.is_finite()));
    let less = Launch {
        dynamic_bytes: launch.dynamic_bytes / 2,
        ..launch
    };
    let error = emulated.launch(&less).unwrap_err().to_string();
    assert!(error.contains("more shared memory"), "{error}");

    let (launch, to) = product(&mut cuda);
    let graph = cuda.capture(&[launch]).unwrap();
    cuda.replay(graph).unwrap();
    assert_eq!(take(&mut cuda, to, count), expected);

    // A device that does not grant it; and a launch of a kernel that did not ask.
    let answers: [unsafe extern "C" fn(Handle, c_int, c_int) -> Status; 2] = [refusing, forgetting];
    for answer in answers {
        let mut driver = start(path);
        driver.set_attribute = answer;
        let mut cuda = Cuda::on(Box::leak(Box::new(driver)), 0).unwrap();
        let (launch, _) = product(&mut cuda);
        let error = cuda.launch(&launch).unwrap_err().to_string();
        assert!(error.contains("kernel gradients_bf16_wide"), "{error}");
        assert!(error.contains("invalid argument"), "{error}");
    }
}

unsafe extern "C" fn refusing(_: Handle, _: c_int, _: c_int) -> Status {
    1
}

unsafe extern "C" fn forgetting(_: Handle, _: c_int, _: c_int) -> Status {
    0
}

#[test]
fn new_memory_is_poisoned_and_places_outside_it_are_errors() {
    let Some(mut cuda) = fake() else { return };
    let at = cuda.allocate(4).unwrap();
    let mut words = [0; 4];
    cuda.download(at, &mut words).unwrap();
    assert_eq!(words, [u32::MAX; 4]);
    cuda.upload(at.words(1), &[1, 2, 3]).unwrap();
    cuda.download(at, &mut words).unwrap();
    assert_eq!(words, [u32::MAX, 1, 2, 3]);
    for (at, count) in [(at, 5), (at.words(1), 4), (Address(8), 1)] {
        let mut words = vec![0; count];
        let outside = |outcome| matches!(outcome, Err(Error::Place { .. }));
        assert!(outside(cuda.upload(at, &words)));
        assert!(outside(cuda.download(at, &mut words)));
    }
    assert!(cuda.free_bytes().unwrap().is_some_and(|free| free > 0));
    let error = cuda.allocate(1 << 42).unwrap_err();
    assert!(matches!(error, Error::Memory { .. }), "{error}");
    assert!(error.hint().unwrap().contains("batch_size"));
}

#[test]
fn a_copy_that_cannot_be_waited_for_never_writes_to_the_callers_memory() {
    unsafe extern "C" fn failing(_: Handle) -> Status {
        999
    }
    let Some(path) = fake_driver() else {
        return;
    };
    let mut driver = start(path);
    driver.synchronize = failing;
    let mut cuda = Cuda::on(Box::leak(Box::new(driver)), 0).unwrap();
    let address = put(&mut cuda, &[1.0; 8]);
    let mut words = [7; 8];
    let error = cuda.download(address, &mut words).unwrap_err();
    assert!(error.to_string().contains("error 999"), "{error}");
    // The stream is finished before it is destroyed.
    drop(cuda);
    assert_eq!(words, [7; 8]);
}

#[test]
fn an_error_of_the_kernels_compiler_is_shown_with_its_message() {
    unsafe extern "C" fn refusing(
        _: *mut Handle,
        _: *const c_void,
        _: c_uint,
        options: *const c_int,
        values: *const *mut c_void,
    ) -> Status {
        let message = c"ptxas fatal: unknown instruction\n".to_bytes_with_nul();
        // SAFETY: the caller passes the log's address and its size, which is larger.
        unsafe {
            assert_eq!([*options, *options.add(1)], ERROR_LOG);
            assert!((*values.add(1)).addr() > message.len());
            let log = (*values).cast::<u8>();
            log.copy_from_nonoverlapping(message.as_ptr(), message.len());
        }
        218
    }
    let Some(path) = fake_driver() else { return };
    let mut driver = start(path);
    driver.load_module = refusing;
    let error = Cuda::on(Box::leak(Box::new(driver)), 0).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("loading the kernels: "), "{text}");
    assert!(
        text.ends_with(": ptxas fatal: unknown instruction"),
        "{text}"
    );
}

#[test]
fn a_capture_that_fails_is_an_error_and_the_stream_can_be_used_again() {
    let Some(mut cuda) = fake() else { return };
    let (launch, y) = norm(&mut cuda);
    let wide = Launch {
        threads: 4 * THREADS,
        ..launch.clone()
    };
    let nameless = Launch {
        kernel: "no_such_kernel",
        ..launch.clone()
    };
    for wrong in [wide, nameless] {
        let error = cuda.capture(&[launch.clone(), wrong.clone()]).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(&format!("kernel {}", wrong.kernel)), "{text}");
        assert!(cuda.launch(&wrong).is_err());
    }
    cuda.launch(&launch).unwrap();
    assert!(take(&mut cuda, y, 240).iter().all(|y| y.is_finite()));
}

/// The second device, which no other test uses, driven by hand to do what the backend never does.
struct Raw {
    driver: Interface,
    context: Handle,
    stream: Handle,
}

impl Raw {
    fn new(path: &Path) -> Self {
        let driver = start(path);
        let (mut context, mut stream) = (null_mut(), null_mut());
        // SAFETY: the driver writes one address in each call.
        unsafe {
            assert_eq!((driver.retain_context)(&raw mut context, 1), 0);
            assert_eq!((driver.set_context)(context), 0);
            assert_eq!((driver.create_stream)(&raw mut stream, NON_BLOCKING), 0);
        }
        Self {
            driver,
            context,
            stream,
        }
    }

    fn allocate(&self, bytes: usize) -> (Status, u64) {
        let mut address = 0;
        // SAFETY: the driver writes one address.
        let status = unsafe { (self.driver.allocate)(&raw mut address, bytes) };
        (status, address)
    }
}

/// What the fake driver refuses, with the driver's number for each.
#[test]
fn the_fake_driver_refuses_what_a_driver_refuses() {
    let Some(path) = fake_driver() else { return };
    let raw = Raw::new(path);
    let driver = &raw.driver;
    let mut found = BTreeMap::new();
    let (_, address) = raw.allocate(8);
    let mut device = 0;
    let mut words = [0_u8; 16];
    let (from, to) = (words.as_ptr().cast(), words.as_mut_ptr().cast());
    // SAFETY: all addresses are valid for the bytes named, or the driver refuses them.
    unsafe {
        found.insert(
            "a copy outside an allocation",
            (driver.to_device)(address, from, 16, raw.stream),
        );
        found.insert("no such device", (driver.device)(&raw mut device, 9));
        // While a graph is captured.
        for (doing, call) in [
            (
                "an allocation in a capture",
                &(|| raw.allocate(8).0) as &dyn Fn() -> Status,
            ),
            ("a copy in a capture", &|| {
                (driver.to_device)(address, from, 8, raw.stream)
            }),
            ("a copy back in a capture", &|| {
                (driver.to_host)(to, address, 8, raw.stream)
            }),
            ("a wait in a capture", &|| (driver.synchronize)(raw.stream)),
            ("a free in a capture", &|| (driver.free)(address)),
        ] {
            assert_eq!((driver.begin_capture)(raw.stream, THREAD_LOCAL), 0);
            found.insert(doing, call());
            let mut graph = null_mut();
            let ended = (driver.end_capture)(raw.stream, &raw mut graph);
            assert_eq!((ended, graph), (901, null_mut()), "{doing}");
        }
        // A thread without the context.
        let elsewhere = std::thread::scope(|scope| {
            let driver = &raw.driver;
            let call = move || {
                let mut address = 0;
                (driver.allocate)(&raw mut address, 8)
            };
            scope.spawn(call).join().unwrap()
        });
        found.insert("no current context", elsewhere);
        // What was freed.
        assert_eq!((driver.free)(address), 0);
        found.insert("memory that was freed", (driver.free)(address));
        assert_eq!((driver.destroy_stream)(raw.stream), 0);
        found.insert("a stream that was freed", (driver.synchronize)(raw.stream));
        let mut module = null_mut();
        let image = c".version 99.9\n.target sm_80\n".as_ptr().cast();
        found.insert(
            "PTX of a later toolkit",
            (driver.load_module)(&raw mut module, image, 0, null(), null()),
        );
        let image = c".version 8.4\n.target sm_999\n".as_ptr().cast();
        found.insert(
            "PTX of a later device",
            (driver.load_module)(&raw mut module, image, 0, null(), null()),
        );
        assert_eq!((driver.release_context)(1), 0);
        found.insert(
            "a context that was freed",
            (driver.set_context)(raw.context),
        );
    }
    let expected = BTreeMap::from([
        ("a copy outside an allocation", 1),
        ("no such device", 101),
        ("an allocation in a capture", 900),
        ("a copy in a capture", 900),
        ("a copy back in a capture", 900),
        ("a wait in a capture", 900),
        ("a free in a capture", 900),
        ("no current context", 201),
        ("memory that was freed", 1),
        ("a stream that was freed", 400),
        ("PTX of a later toolkit", 222),
        ("PTX of a later device", 209),
        ("a context that was freed", 201),
    ]);
    assert_eq!(found, expected);
}
