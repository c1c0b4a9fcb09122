import pytest

KINDS = {bytes: ("bytes_list", "BytesList"), float: ("float_list", "FloatList"), int: ("int64_list", "Int64List")}


@pytest.fixture(scope="session")
def to_feature(tf):
    """`to_feature(values)`: TensorFlow's message of one value or a list of them."""

    def convert(values):
        values = values if isinstance(values, list) else [values]
        field, message = KINDS[type(values[0]) if values else int]
        return tf.train.Feature(**{field: getattr(tf.train, message)(value=values)})

    return convert


@pytest.fixture(scope="session")
def write_records(tf, to_feature):
    """`write_records(path, records)`: TensorFlow's own writer, from dicts of one value or a list of them a feature."""

    def write(path, records):
        with tf.io.TFRecordWriter(str(path)) as writer:
            for record in records:
                features = {name: to_feature(values) for name, values in record.items()}
                writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())
        return path

    return write
