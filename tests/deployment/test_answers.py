"""The questions of `make deploy`, and the file that stores the answers."""

import tempfile
import unittest
from pathlib import Path

import fakes  # noqa: F401 (it adds the scripts to the path)

import answers as config  # noqa: E402
from answers import Answers, CommandError  # noqa: E402

DEFINITIONS = config.definitions()
GOOD = {"Stage": "dev", "SenderAddress": "shop@example.com", "PaymentProvider": "simulated"}


class Questions(unittest.TestCase):
    def ask(self, *given):
        self.shown, left = [], list(given)

        def read(prompt):
            self.shown.append(prompt)
            if not left:
                raise EOFError
            return left.pop(0)

        return config.ask(DEFINITIONS, "eu-west-1", Path("samconfig.toml"), read, self.shown.append)

    def test_five_questions_are_asked_and_described(self):
        answers = self.ask("", "", "", "shop@example.com", "stripe")
        self.assertEqual((answers.stack, answers.region), ("ferrocart", "eu-west-1"))
        self.assertEqual(answers.parameters, {"Stage": "dev", "SenderAddress": "shop@example.com", "PaymentProvider": "stripe"})
        self.assertEqual([line for line in self.shown if line[:1].isdigit()], [line for line in self.shown if ". " in line[:3]])
        self.assertEqual(len([line for line in self.shown if line[:1].isdigit()]), 5)

    def test_an_invalid_answer_is_asked_again(self):
        answers = self.ask("9shop", "shop", "Frankfurt", "eu-central-1", "test", "dev", "", "shop", "shop@example.com", "", "paypal", "stripe")
        self.assertEqual((answers.stack, answers.region, answers.parameters["PaymentProvider"]), ("shop", "eu-central-1", "stripe"))
        self.assertIn("   It must be one of simulated, stripe.", self.shown)

    def test_without_a_terminal_the_file_is_required(self):
        with self.assertRaisesRegex(CommandError, "write samconfig.toml first"):
            self.ask("shop")


class File(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name) / "samconfig.toml"

    def check(self, **parameters):
        config.check(Answers("shop", "eu-west-1", GOOD | parameters), DEFINITIONS, "samconfig.toml")

    def test_written_answers_are_read_unchanged(self):
        answers = Answers("shop", "eu-west-1", GOOD)
        config.write(answers, DEFINITIONS, self.path)
        self.assertEqual(config.read(self.path), answers)

    def test_every_other_parameter_is_in_the_file_as_a_comment(self):
        config.write(Answers("shop", "eu-west-1", GOOD), DEFINITIONS, self.path)
        self.path.write_text(self.path.read_text().replace('    # "', '    "'))
        answers = config.read(self.path)
        self.assertEqual(set(answers.parameters), set(DEFINITIONS) - {"Local"})
        config.check(answers, DEFINITIONS, self.path)

    def test_a_file_of_sam_is_read(self):
        self.path.write_text('version = 0.1\n[default.deploy.parameters]\nstack_name = "shop"\nregion = "eu-west-1"\n'
                             'parameter_overrides = "Stage=\\"prod\\" SenderAddress=\\"shop@example.com\\""\n')
        self.assertEqual(config.read(self.path), Answers("shop", "eu-west-1", {"Stage": "prod", "SenderAddress": "shop@example.com"}))

    def test_an_unreadable_file_is_named(self):
        for text in ("", "version = ", "[default.deploy.parameters]\nstack_name = 'shop'\n"):
            self.path.write_text(text)
            with self.assertRaisesRegex(CommandError, "samconfig.toml cannot be read"):
                config.read(self.path)

    def test_good_parameters_pass(self):
        self.check()
        self.check(Stage="prod", PaymentProvider="stripe", StoreUrl="https://shop.example", CorsOrigin="https://shop.example")

    def test_bad_parameters_are_rejected_with_a_sentence(self):
        for parameters, said in [
            ({"StoreURL": "https://shop.example"}, "not a parameter of template.yaml. Did you mean StoreUrl?"),
            ({"Stage": "production"}, "Stage in samconfig.toml is 'production'. It must be one of dev, staging, prod."),
            ({"SenderAddress": "shop"}, "It must be one e-mail address."),
            ({"OrderPaymentSeconds": "half an hour"}, "It must be a whole number."),
            ({"OrderPaymentSeconds": "0"}, "It must be at least 1."),
            ({"StoreUrl": "http://shop.example"}, "must be an https address"),
            ({"Stage": "prod"}, "set PaymentProvider=stripe"),
            ({"Stage": "prod", "PaymentProvider": "stripe"}, "StoreUrl and CorsOrigin must be https addresses"),
        ]:
            with self.subTest(parameters), self.assertRaises(CommandError) as error:
                self.check(**parameters)
            self.assertIn(said, str(error.exception))

    def test_a_missing_parameter_is_named(self):
        with self.assertRaisesRegex(CommandError, "does not set PaymentProvider"):
            config.check(Answers("shop", "eu-west-1", {"SenderAddress": "shop@example.com"}), DEFINITIONS, "samconfig.toml")


if __name__ == "__main__":
    unittest.main()
