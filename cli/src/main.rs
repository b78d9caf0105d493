//! The program `hashlab`, with the methods, data sets and encoders of this workspace.

use std::process::ExitCode;

// glibc's allocator returns each tensor's pages to the kernel; mimalloc makes training more than twice as fast.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    hashlab::main(hashlab::Registry {
        methods: hashlab_methods::METHODS,
        datasets: hashlab_datasets::DATASETS,
        encoders: hashlab_encoders::ENCODERS,
        published: &[hashlab_methods::PUBLISHED],
    })
}

#[cfg(test)]
mod tests {
    /// A table prints published numbers of its data set by name.
    #[test]
    fn published_numbers_are_of_registered_data_sets() {
        let published = hashlab_methods::PUBLISHED.lines().filter_map(|line| line.strip_prefix("dataset = "));
        let mut count = 0;
        for name in published {
            let known = hashlab_datasets::DATASETS.iter().any(|entry| format!("{:?}", entry.summary.name) == name);
            assert!(known, "{name}");
            count += 1;
        }
        assert!(count > 10);
    }
}
