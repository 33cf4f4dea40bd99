"""The same as push.ru for uWebSockets, by socketify: the port is its argument. WebSocket only."""

import sys

from socketify import App, AppListenOptions, OpCode

MESSAGE = "x" * 64

app = App()


def publish(response, request):
    for _ in range(int(request.get_query("count"))):
        app.publish("fanout", MESSAGE, OpCode.TEXT)
    response.end("Hello, world!\n")


app.get("/", lambda response, request: response.end("Hello, world!\n"))
app.post("/publish", publish)
app.ws("/fanout", {"open": lambda socket: socket.subscribe("fanout"), "message": lambda *_: None})
app.ws("/idle", {"message": lambda *_: None})
app.ws("/echo", {"message": lambda socket, message, opcode: socket.send(message, opcode)})
app.listen(AppListenOptions(port=int(sys.argv[1]), host="127.0.0.1"), lambda _: None)
app.run()
