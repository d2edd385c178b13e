//! Link arguments of the program.
fn main() {
    link::program();
}
