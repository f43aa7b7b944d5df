//! Rain, water and warnings to a level, and a level to what people must do. Ranks count from 1, the mildest; 0 is no level.

pub mod area;
pub mod level;
pub mod notices;
pub mod plan;
pub mod points;
pub mod pumping;
pub mod rain;
pub mod readiness;
pub mod room;
pub mod scheme;
pub mod scheme_file;
pub mod settings;
pub mod signed;
pub mod situation;
pub mod state;
pub mod view;
pub mod warnings;
pub mod water;
