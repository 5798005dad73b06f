use super::*;
use crate::behaviour;

/// Keeps its frames.
#[derive(Default)]
struct Memory(std::rc::Rc<std::cell::RefCell<Vec<(Frame, f64)>>>);

impl Reel for Memory {
    fn add(&mut self, frame: &Frame, seconds: f64) -> Result<(), Error> {
        self.0.borrow_mut().push((frame.clone(), seconds));
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), Error> {
        Ok(())
    }
}

fn plan(env: &str, episodes: usize) -> VideoPlan {
    VideoPlan {
        env: env.to_owned(),
        target: Some(200.0),
        episodes,
        seed: 3,
        frames_per_second: None,
    }
}

fn shoot(plan: &VideoPlan, reels: &mut [Box<dyn Reel>]) -> Result<Vec<Episode>, Error> {
    let spaces = rtg_envs::spec(&plan.env).unwrap();
    let mut policy = |rows: usize| {
        Box::new(behaviour::Random::new(&spaces.action_space, rows)) as Box<dyn Policy>
    };
    record(&mut policy, plan, pace(plan)?, reels, &mut |_, _| ())
}

#[test]
fn a_video_has_a_frame_every_few_steps_and_each_episodes_last_one() {
    let frames = Memory::default();
    let shown = std::rc::Rc::clone(&frames.0);
    let plan = plan("CartPole-v1", 2);
    let episodes = shoot(&plan, &mut [Box::new(frames)]).unwrap();
    // 50 steps a second at no more than 30 frames: every second step, and the last.
    let expected: usize = episodes
        .iter()
        .map(|episode| episode.len().div_ceil(2) + 1)
        .sum();
    let shown = shown.borrow();
    assert_eq!(shown.len(), expected);
    assert!(
        shown
            .iter()
            .all(|(frame, _)| (frame.width, frame.height) == (920, 400))
    );
    let (first, seconds) = &shown[0];
    assert!((seconds - 0.04).abs() < 1e-12);
    assert_ne!(first, &shown[1].0);
    assert_eq!(
        shown
            .iter()
            .filter(|(_, seconds)| *seconds == LAST_FRAME_SECS)
            .count(),
        2
    );
}

#[test]
fn the_curves_grow_with_the_steps_and_the_scene_is_pasted_unchanged() {
    let mut env = rtg_envs::make("Pendulum-v1").unwrap();
    let mut observation = [0.0; 3];
    env.reset(Some(1), &mut observation);
    let scene = env.render().unwrap();
    let episode = Episode {
        observations: vec![0.0; 12],
        actions: vec![0.5, -0.5, 2.0],
        rewards: vec![-1.0, -2.0, -0.5],
        ..Episode::default()
    };
    let at = |step| {
        compose(
            &scene,
            &episode,
            &Caption {
                env: "Pendulum-v1",
                target: Some(-150.0),
                episode: (1, 1),
                step,
            },
        )
    };
    let coloured = |frame: &Frame| {
        (0..frame.height)
            .flat_map(|y| (scene.width..frame.width).map(move |x| (x, y)))
            .filter(|&(x, y)| frame.pixel(x, y) == Some([47, 93, 138]))
            .count()
    };
    let inked: Vec<usize> = (0..4).map(|step| coloured(&at(step))).collect();
    assert!(inked.is_sorted_by(|a, b| a < b), "{inked:?}");
    let sheet = at(3);
    assert_eq!(sheet.pixel(250, 250), scene.pixel(250, 250));
}

#[test]
fn a_gif_keeps_the_environments_time_and_its_frames() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("video.gif");
    let plan = plan("CartPole-v1", 1);
    let pace = pace(&plan).unwrap();
    let memory = Memory::default();
    let recorded = std::rc::Rc::clone(&memory.0);
    let gif = reel(&path, pace.frames_per_second()).unwrap();
    let mut reels: [Box<dyn Reel>; 2] = [gif, Box::new(memory)];
    let episodes = shoot(&plan, &mut reels).unwrap();
    assert!(!path.exists(), "not before it is finished");
    for reel in reels {
        reel.finish().unwrap();
    }
    let mut options = ::gif::DecodeOptions::new();
    options.set_color_output(::gif::ColorOutput::RGBA);
    let mut decoder = options
        .read_info(std::fs::File::open(&path).unwrap())
        .unwrap();
    let (mut frames, mut hundredths) = (0, 0);
    let recorded = recorded.borrow();
    let mut shown = vec![0; recorded[0].0.pixels.len()];
    while let Some(frame) = decoder.read_next_frame().unwrap() {
        for (shown, drawn) in shown.chunks_exact_mut(3).zip(frame.buffer.chunks_exact(4)) {
            if drawn[3] > 0 {
                shown.copy_from_slice(&drawn[..3]);
            }
        }
        assert!(shown == recorded[frames].0.pixels, "frame {frames}");
        frames += 1;
        hundredths += u64::from(frame.delay);
    }
    let mut first = Gif::new(&path);
    first.add(&recorded[0].0, 0.04).unwrap();
    let whole = first.into_bytes().unwrap().len() * frames;
    let bytes = std::fs::metadata(&path).unwrap().len() as usize;
    assert!(
        bytes < whole * 3 / 4,
        "{bytes} bytes, {whole} with whole frames"
    );
    let steps = episodes[0].len();
    assert_eq!(frames, steps.div_ceil(2) + 1);
    assert_eq!(hundredths, 4 * steps.div_ceil(2) as u64 + 100);
}

#[test]
fn frames_go_into_a_folder_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("frames");
    let mut reels = [reel(&path, 30.0).unwrap()];
    let episodes = shoot(&plan("CartPole-v1", 1), &mut reels).unwrap();
    let names = path.read_dir().unwrap().count();
    assert_eq!(names, episodes[0].len().div_ceil(2) + 1);
    let file = std::fs::File::open(path.join("frame_00000.png")).unwrap();
    let picture = ::png::Decoder::new(std::io::BufReader::new(file))
        .read_info()
        .unwrap();
    assert_eq!((picture.info().width, picture.info().height), (920, 400));
    let again = reel(&path, 30.0).err().unwrap();
    assert!(matches!(again, Error::FolderInUse { .. }), "{again}");
}

#[test]
fn unknown_file_extensions_are_refused() {
    let error = reel(Path::new("video.avi"), 30.0).err().unwrap();
    assert!(error.to_string().ends_with("video.avi"), "{error}");
    assert!(error.hint().unwrap().contains(".gif"));
}

#[test]
fn a_video_that_ffmpeg_cannot_write_says_why_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("no/such/video.mp4");
    let mut reels = [reel(&path, 30.0).unwrap()];
    let error = shoot(&plan("CartPole-v1", 1), &mut reels)
        .err()
        .or_else(|| {
            let [reel] = reels;
            reel.finish().err()
        })
        .unwrap();
    assert!(matches!(error, Error::Ffmpeg { .. }), "{error}");
    assert!(error.hint().unwrap().contains("ffmpeg"));
}
