"""A mail server (aiosmtpd) that keeps the last message: mail_server.py PORT DIRECTORY [CERTIFICATE KEY]

nobody@… does not exist, full@… is full for now.
"""
import email
import email.policy
import ssl
import sys
import time
from pathlib import Path

from aiosmtpd.controller import Controller


class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("nobody@"):
            return "550 no such user here"
        if address.startswith("full@"):
            return "452 mailbox is full"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        head = "".join(f"{name.lower()}: {value}\n" for name, value in message.items())
        (Path(sys.argv[2]) / "last.txt").write_text(head + "\n" + message.get_content())
        return "250 taken"


context = None
if len(sys.argv) > 3:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(sys.argv[3], sys.argv[4])
Controller(Handler(), hostname="127.0.0.1", port=int(sys.argv[1]), ssl_context=context).start()
time.sleep(120)
