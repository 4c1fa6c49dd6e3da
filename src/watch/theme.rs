//! Text styles of the watch screen.

use ratatui::style::{Color, Modifier, Style};

/// Text styles, with or without color.
#[derive(Clone, Copy)]
pub(super) struct Theme {
    /// Whether to use color.
    pub(super) color: bool,
}

impl Theme {
    pub(super) fn colored(self, color: Color) -> Style {
        if self.color {
            Style::new().fg(color)
        } else {
            Style::new()
        }
    }

    pub(super) fn good(self) -> Style {
        self.colored(Color::Green)
    }

    pub(super) fn warn(self) -> Style {
        self.colored(Color::Yellow)
    }

    pub(super) fn bad(self) -> Style {
        self.colored(Color::Red)
    }

    pub(super) fn dim() -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    pub(super) fn strong() -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }
}
