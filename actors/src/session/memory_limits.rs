//! How many frames a run of the model may have in this session.

use pointstream_reconstruction::map::WindowPlan;
use pointstream_reconstruction::model::Shortage;

use crate::session_config::{FinalizeMode, SessionConfig};

/// Images that one run of the model takes for a final result, unless the client asks for another way:
/// it places them all at once, which is more exact, but its time grows with each of them.
const MOST_AT_ONCE: usize = 120;

/// What a device has had no memory for, as far as the client leaves the choice to the service.
pub(super) struct MemoryLimits {
    /// Frames that fit at once.
    fitting: usize,
}

impl Default for MemoryLimits {
    fn default() -> Self {
        Self {
            fitting: usize::MAX,
        }
    }
}

impl MemoryLimits {
    /// The plan for the windows of a session. `extends` says whether the model can extend a map.
    pub fn plan(&self, config: &SessionConfig, extends: bool) -> WindowPlan {
        config.window_plan(extends, self.fitting)
    }

    /// Images that one run takes for a final result, if the client lets the service choose.
    pub fn most_at_once(&self) -> usize {
        MOST_AT_ONCE.min(self.fitting)
    }

    /// A run needs more memory than there is. Returns whether fewer frames at once may do, and are
    /// the service's choice; `plan` is the present one.
    pub fn note(&mut self, config: &SessionConfig, plan: WindowPlan, shortage: &Shortage) -> bool {
        let fitting = shortage.fitting_frames;
        if fitting < WindowPlan::LEAST {
            return false;
        }
        let chooses_window = config.window == 0 && fitting < plan.first;
        let chooses_mode =
            config.finalize_mode == FinalizeMode::Auto && shortage.frames > plan.first;
        if fitting >= self.fitting || !(chooses_window || chooses_mode) {
            return false;
        }
        self.fitting = self.fitting.min(fitting);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shortage(frames: usize, fitting_frames: usize) -> Shortage {
        Shortage {
            frames,
            needed: 2,
            free: 1,
            fitting_frames,
            fitting_scale: None,
        }
    }

    /// What is left of a plan after a shortage, and of a final run.
    fn after(config: &SessionConfig, shortage: &Shortage) -> (bool, usize, usize) {
        let mut limits = MemoryLimits::default();
        let plan = limits.plan(config, false);
        let noted = limits.note(config, plan, shortage);
        (
            noted,
            limits.plan(config, false).first,
            limits.most_at_once(),
        )
    }

    #[test]
    fn windows_shrink_to_what_fits() {
        let config = SessionConfig::default();
        assert_eq!(after(&config, &shortage(24, 10)), (true, 10, 10));
        assert_eq!(
            after(&config, &shortage(24, 5)),
            (false, 24, 120),
            "too few"
        );
        // A final run over all images does not fit, but windows do.
        assert_eq!(after(&config, &shortage(100, 60)), (true, 24, 60));
    }

    #[test]
    fn what_the_client_chose_stays() {
        let chosen = SessionConfig {
            window: 24,
            ..SessionConfig::default()
        };
        assert_eq!(after(&chosen, &shortage(24, 10)), (false, 24, 120));
        assert_eq!(after(&chosen, &shortage(100, 60)), (true, 24, 60));
        let whole = SessionConfig {
            finalize_mode: FinalizeMode::Whole,
            ..SessionConfig::default()
        };
        assert_eq!(after(&whole, &shortage(100, 60)), (false, 24, 120));
        // The first window is smaller than what is there.
        assert_eq!(after(&whole, &shortage(20, 10)), (true, 10, 10));
    }
}
